"""What people see of a run while it goes on: the estimate, the bar, the sums."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from rich.console import Console

from evals.runner.estimate import Estimate
from evals.runner.progress import bar, dollars, expected, so_far
from evals.runner.tally import Tally
from tests.evals.made_runs import SCORER, made_cases, made_row

FOUND = Estimate(
    requests=1200,
    judged=0,
    recalled=0,
    prompt_tokens=3000,
    completion_tokens=1000,
    dollars=Decimal("0.125"),
    most=None,
)


def tally(scores: list[float | None], total: int = 10) -> Tally:
    found = Tally(total, SCORER)
    for case, score in zip(made_cases(len(scores)), scores, strict=True):
        found.count(made_row(case, score))
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "1,200 requests, about 4,000 tokens, about $0.125."),
        ({"dollars": None}, "at a price that nobody knows (state it with --price)."),
        ({"most": Decimal("2.5")}, "about $0.125 (at most about $2.50)."),
        ({"judged": 2400}, "1,200 requests and 2,400 to judges, about"),
        ({"recalled": 3}, "3 answers are recalled from earlier runs (--no-recall asks anew)."),
    ],
)
def test_what_it_will_take_is_told_as_a_sentence(changes: dict[str, Any], said: str) -> None:
    assert said in expected(msgspec.structs.replace(FOUND, **changes), 0)


def test_what_is_done_already_is_told() -> None:
    assert expected(FOUND, 17).endswith("about $0.125. 17 are done already.")


def test_the_line_has_score_spending_and_what_went_wrong() -> None:
    found = tally([1.0, 1.0, 0.0, None])
    found.spent, found.unjudged, found.note = Decimal("1.5"), 2, "waiting"
    assert so_far(found) == f"{SCORER} 0.500, $1.50, 1 error, 2 not judged, waiting"
    assert so_far(tally([])) == "$0"


@pytest.mark.parametrize(
    ("amount", "said"),
    [("1234.567", "$1,234.57"), ("0.12345", "$0.1234"), ("0.00001234", "$0.00001234"), ("0", "$0")],
)
def test_dollars_are_as_exact_as_is_of_interest(amount: str, said: str) -> None:
    assert dollars(Decimal(amount)) == said


def test_a_bar_shows_how_far_it_is_and_the_score_so_far() -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=100)
    with bar(console, shown=True) as watch:
        watch(tally([1.0, 0.0], total=4))
        watch(tally([1.0, 1.0, 0.0, 0.0], total=4))
    assert "4/4" in drawn.getvalue()
    assert f"{SCORER} 0.500" in drawn.getvalue()


def test_no_bar_is_drawn_where_nobody_looks() -> None:
    drawn = io.StringIO()
    with bar(Console(file=drawn), shown=False) as watch:
        watch(tally([1.0]))
    assert not drawn.getvalue()
