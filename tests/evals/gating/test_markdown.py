"""Markdown in which names from data mean nothing."""

from __future__ import annotations

import re

from evals.gating.markdown import to_markdown
from tests.evals.gating.made import figures, held, refused, summary


def test_what_failed_is_seen_first_and_the_rest_is_folded_away() -> None:
    page = to_markdown(refused())
    assert page.startswith("### Gate refused: `small` on `desk`\n")
    assert page.index("Segments that failed") < page.index("20.0%") < page.index("<details>") < page.index("`fine`")


def test_names_cannot_leave_their_cell() -> None:
    page = to_markdown(refused())
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert "`<b>a¦b</b>'� @everyone`" in page
    outside = re.sub(r"`[^`\n]*`", "", page)
    assert "<b>" not in outside
    assert "@everyone" not in outside
    assert r"Mind \<this\> \*note\*." in page


def test_a_verdict_that_passed_says_so() -> None:
    page = to_markdown(held({"cases": {"at_least": 1}}, summary(figures("all", 1)), baseline="runs/main"))
    assert page.startswith("### Gate passed")
    assert "baseline `runs/main`" in page
    assert "Segments" not in page
