"""The books of the scale benchmark: how answers are added up and compared. The figures are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import KINDS, Measured, Setup, _result, markdown, targets
from benchmarks.scale_setups import COUNTED, LOADED, Weir
from benchmarks.scale_totals import Totals, asked, crowd
from benchmarks.slow_upstream import slow_upstream

SAID = Totals(requests=4, hits=1, prompt_tokens=72, completion_tokens=36, cost=Decimal("0.0000324"))
CPU = {"weir": 0.9, "load": 0.2, "mock": 0.1, "rest": 0.5}
ONE = Measured(rps=1000.0, requests=1000, errors=0, took_s=1.0, cpu_s=CPU)


LEDGER = {COUNTED: SAID, LOADED: Totals(requests=110)}


def setup(name: str, *runs: Measured) -> Setup:
    weir = Weir("http://127.0.0.1:1", 1, Path("weir.yaml"), {})
    return Setup(name, [weir], {kind: list(runs) for kind in KINDS}, answered=100, sent=132, said=SAID)


def results(ledger: Mapping[str, Totals] = LEDGER) -> list[dict[str, Any]]:
    one = setup("1 worker", ONE)
    two = setup("2 workers", replace(ONE, rps=1800.0, requests=1800, cpu_s={**CPU, "weir": 1.7}))
    limit = {"setup": "limit", "max_concurrent": 8, "most": 8, "answered": 40, "refused": 24, "right": True}
    return [*(_result(row, one, ledger) for row in (one, two)), limit]


def test_two_workers_are_compared_with_one_as_seen_and_by_cpu_time() -> None:
    _, two, _ = results()
    cell = two["pass-through"]
    assert (cell["ratio"], cell["cpu_s_per_1000"]) == (1.8, 0.9444)
    assert cell["by_cpu"] == pytest.approx(2 * 0.9 / (1.7 / 1.8), abs=0.001)
    assert [target.met for target in targets(results())] == [True, True, True]


@pytest.mark.parametrize(
    ("tenant", "changes"),
    [
        (COUNTED, {"cost": Decimal("0.0000325")}),
        (COUNTED, {"requests": 5}),
        (COUNTED, {"prompt_tokens": 71}),
        (LOADED, {"requests": 99}),
        (LOADED, {"requests": 133}),
    ],
)
def test_books_that_differ_are_wrong(tenant: str, changes: dict[str, Any]) -> None:
    assert all(row["right"] for row in results())
    wrong = results({**LEDGER, tenant: replace(LEDGER[tenant], **changes)})
    assert [row["right"] for row in wrong] == [False, False, True]
    assert targets(wrong)[-1].met is False


def test_a_difference_stands_out_and_no_table_has_a_hole() -> None:
    text = markdown(results({**LEDGER, COUNTED: replace(SAID, cost=Decimal("0.5"))}))
    assert "**0.0000324 / 0.5**" in text
    assert "| 2 workers | 1,800 | 1.80 |" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)


def test_the_slow_upstream_counts_how_many_it_answers_at_a_time() -> None:
    with slow_upstream() as upstream:
        url = f"{upstream.url}/v1/chat/completions"
        seen = asyncio.run(crowd(upstream, url, {}, [[b"{}"] * 5, [b"{}"] * 3]))
    assert (seen.most, seen.answered, seen.refused, seen.other) == (5, 8, 0, 0)


def test_an_answer_without_a_cost_is_no_answer() -> None:
    with slow_upstream() as upstream, pytest.raises(KeyError, match="x-weir-cost"):
        asyncio.run(asked([f"{upstream.url}/v1/chat/completions"], {}, [b"{}"]))
