"""The table of scripted behaviours: which name does what, and that its reference page is the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.upstreams.scripted_behaviours import BEHAVIOURS, DEFAULT_DOES, DEFAULT_NAME, Script, script

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("anything-else", Script()),
        ("echo", Script(content="echo")),
        ("slow", Script(headers_after_s=1)),
        ("slow-250", Script(headers_after_s=0.25)),
        ("slow-tokens-20", Script(token_gap_s=0.02)),
        ("slow-tokens", Script(token_gap_s=0.05)),
        ("slow-250/no-usage", Script(headers_after_s=0.25, usage="none")),
        ("slow-250/nonsense", Script()),
        ("rate-limited", Script(status=429)),
        ("rate-limited-0.5", Script(status=429, retry_after="0.5")),
        ("error", Script(status=500)),
        ("error-503", Script(status=503)),
        ("error-200", Script(status=500)),
        ("wrong-usage", Script(usage="negative")),
        ("wrong-usage-2", Script(usage="strings")),
        ("wrong-usage-3", Script(usage="contradictory")),
        ("long-12", Script(content="long", tokens=12)),
        ("no-done", Script(done=False)),
    ],
)
def test_a_name_is_a_script(model: str, expected: Script) -> None:
    assert script(model) == expected


def test_flaky_models_fail_in_turns() -> None:
    assert [script("flaky-2", turn).status for turn in range(6)] == [500, 500, 200, 500, 500, 200]
    assert [script("flaky", turn).status for turn in range(4)] == [500, 200, 500, 200]
    assert [script("flaky-1/reset/echo", turn).fault for turn in range(3)] == ["reset", "none", "reset"]
    assert {script("flaky-1/reset/echo", turn).content for turn in range(3)} == {"echo"}


def test_no_two_rows_share_a_name() -> None:
    names = [behaviour.name for behaviour in BEHAVIOURS]
    assert len(set(names)) == len(names)


def test_the_reference_page_is_the_table() -> None:
    page = (ROOT / "docs/reference/scripted.md").read_text()
    rows = [(b.name, b.does, "" if b.default is None else f"{b.default:g}") for b in BEHAVIOURS]
    expected = [(DEFAULT_NAME, DEFAULT_DOES, ""), *((f"`{name}`", does, number) for name, does, number in rows)]
    found = re.findall(r"^\| (.+?) \| (.+?) \| ?(.*?) ?\|$", page, flags=re.MULTILINE)
    assert found[2:] == expected
