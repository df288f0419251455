"""From loads to rows: added latency, ratios, targets and Markdown. The loads are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.load import Load
from benchmarks.overhead_results import HIT, cell, markdown, ratio, targets
from benchmarks.targets import at_least, below, table

LOAD = Load(rps=1000, p50_ms=1.0, p99_ms=2.0, p999_ms=3.0, requests=2000, errors=0)


def loads(*p50s: float, rps: float = 1000) -> list[Load]:
    return [replace(LOAD, p50_ms=p50, rps=rps, errors=1) for p50 in p50s]


def row(system: str, rps: float, p99_ms: float = 2.0) -> dict[str, Any]:
    one = {"rps": rps / 2, "errors": 0, "p50_ms": 1.0, "added_p50_ms": 0.5, "p99_ms": p99_ms}
    both = one | {"added_p99_ms": p99_ms, "p999_ms": 9.0, "added_p999_ms": 8.0, "cpu_s_per_1000": 0.25}
    memory = {"rss_mb": 90.0, "pss_mb": 80.0}
    known = {"benchmark": "overhead", "system": system, "closed": {"1": both, "32": both | {"rps": rps}}}
    counted = {"requests": 100.0, "exact_hits": 0.0, "upstream_calls": 0.0}
    return known | {"open": {"50": both}, "ready_s": 0.7, "start": memory, "end": memory, "counted": counted}


def rows(**systems: float) -> list[dict[str, Any]]:
    made = [row(name.replace("_", " "), rps) for name, rps in systems.items()]
    for result in made:
        result["ratios"] = {other["system"]: ratio(result, other) for other in made}
    return made


def test_added_latency_is_over_direct_of_the_same_round() -> None:
    found = cell(loads(5.0, 1.0, 9.0), loads(4.0, 0.5, 1.0))
    assert found["p50_ms"] == 5.0
    assert found["added_p50_ms"] == 1.0  # the median of 1, 0.5 and 8
    assert found["errors"] == 3


def test_a_round_without_answers_adds_no_latency() -> None:
    dead = replace(LOAD, requests=0, p50_ms=0.0, rps=0)
    assert cell([dead, LOAD], loads(0.5, 0.75))["added_p50_ms"] == 0.25
    assert cell([dead], loads(0.5))["added_p50_ms"] is None


def test_ratios_are_taken_at_32_connections() -> None:
    weir, litellm = rows(weir=4000, litellm=100)
    assert weir["ratios"] == {"weir": 1.0, "litellm": 40.0}
    assert litellm["ratios"]["weir"] == 0.025


@pytest.mark.parametrize(("rps", "met"), [(2999, False), (3000, True)])
def test_a_target_is_met_or_missed_by_the_figures(rps: float, met: bool) -> None:
    judged = targets(rows(weir=rps, weir_exact_hit=9000, litellm=100))
    assert judged[0].what == "Pass-through, requests/s over LiteLLM's"
    assert judged[0].met is met


def test_the_tail_is_judged_at_32_connections() -> None:
    results = rows(weir=3000, weir_exact_hit=9000)
    results[0]["closed"]["32"] |= {"p50_ms": 2.0, "p99_ms": 9.0}
    tail = next(target for target in targets(results) if target.what.startswith("P99 over P50"))
    assert (tail.figure, tail.met) == ("4.5 x", False)


def test_a_target_without_its_peer_is_neither_met_nor_missed() -> None:
    judged = {target.what: target for target in targets(rows(weir=3000, weir_exact_hit=9000))}
    assert judged["Pass-through, requests/s over Portkey's"].met is None
    assert judged["Added P99 at 1 connection over LiteLLM's"].figure == "not measured"
    assert judged["Exact hit, requests/s over pass-through's"].met is True
    assert judged["Exact hits, upstream calls"].met is True


def test_hits_that_called_the_upstream_are_told() -> None:
    results = rows(weir=3000, weir_exact_hit=9000)
    results[1]["counted"]["upstream_calls"] = 1.0
    judged = {target.what: target for target in targets(results)}
    assert judged["Exact hits, upstream calls"].met is False


def test_without_weir_there_is_nothing_to_judge() -> None:
    assert targets(rows(direct=9000, litellm=100)) == []


def test_markdown_has_a_row_for_each_system_and_no_hole() -> None:
    results = rows(direct=9000, weir=3000, weir_exact_hit=9000, litellm=100)
    results[0] |= {"start": None, "end": None, "ready_s": None, "counted": {}}
    results[3]["counted"] = {}
    del results[0]["closed"]["32"]["cpu_s_per_1000"]
    results[3]["open"] = {}
    results[3]["closed"]["1"]["p50_ms"] = None
    text = markdown(results)
    assert "| weir | 1,500 | 3,000 | 30 | 0.250 | 0 |" in text
    assert "| direct | 4,500 | 9,000 | 90 | - | 0 |" in text
    assert "| litellm | - |" in text
    assert "| litellm | - | 0.50" in text
    assert "| weir | 0.50 / 2.00 / 8.00 |" in text
    assert "| direct | 1.00 / 2.00 / 9.00 |" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    assert text.endswith(
        "By Weir's own count, weir: 100 requests, 0 exact hits, 0 upstream calls; "
        f"{HIT}: 100 requests, 0 exact hits, 0 upstream calls."
    )


def test_the_table_of_targets_says_what_was_missed() -> None:
    text = table([at_least("a", 30.5, 30), below("b", 7, 4, "ms"), below("c", None, 4, "ms")])
    assert "| a | at least 30 x | 30.5 x | met |" in text
    assert "| 2,231 ms |" in table([below("d", 2231.4, 4, "ms")])
    assert "| b | under 4 ms | 7 ms | **missed** |" in text
    assert "| c | under 4 ms | not measured | not measured |" in text
