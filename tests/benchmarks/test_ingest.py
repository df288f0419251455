"""From rates to rows, ratios and targets. The rates are made up."""

from __future__ import annotations

from benchmarks.ingest import Measured, markdown, results, targets


def test_the_ratio_is_the_median_of_those_within_each_round() -> None:
    found = Measured(requests=[900.0, 1000.0, 5000.0], events={"sqlite": [9000.0, 1.0, 4000.0]}, event_bytes=1450)
    found.cpu_us = {"sqlite": [39.0, 40.0, 99.0]}
    proxy, sqlite = results(found)
    assert (proxy["per_second"], "ratio" in proxy) == (1000, False)
    assert (sqlite["per_second"], sqlite["ratio"], sqlite["rounds"]) == (4000, 0.8, [9000, 1, 4000])
    assert "| sqlite | 4,000 | 0.80 x | 40.0 |" in markdown([proxy, sqlite])
    assert "| proxy, requests | 1,000 | 1 | |" in markdown([proxy, sqlite])


def test_an_engine_that_was_not_there_is_not_measured_and_not_met() -> None:
    lines = results(Measured(requests=[100.0], events={"sqlite": [499.0]}))
    assert [(target.met, target.figure) for target in targets(lines)] == [(None, "not measured"), (False, "4.99 x")]
    lines = results(Measured(requests=[100.0], events={"postgresql": [500.0]}))
    assert [target.met for target in targets(lines)] == [True, None]
