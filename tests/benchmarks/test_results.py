"""The page that `make bench` writes, from parts that measure nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import PARTS, Part, machine, measured, page, versions
from benchmarks.targets import Target, at_least, below

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="benchmarks need Linux")


def targets(results: list[dict[str, Any]]) -> list[Target]:
    speed = results[0]["speed"]
    return [at_least("speed", speed, 3), at_least("aim", speed, 4), below("waste", None, 1, "MB")]


FINE = Part("fine", "Fine things", lambda: [{"speed": 2}], lambda found: f"speed {found[0]['speed']}", targets)


def test_a_page_tells_figures_targets_and_where_they_come_from() -> None:
    text = page([measured(FINE)], "make bench", 90)
    assert text.startswith("# Results\n\nWritten by `make bench` on 20")
    assert "in 1.5 minutes" in text
    assert "Of 3 targets 2 were missed and 1 could not be judged." in text
    assert "| speed | at least 3 x | 2 x | **missed** |" in text
    assert "## Fine things\n\n`benchmarks/fine.py`, 0 s.\n\nspeed 2\n" in text
    assert f"share its {machine()['cores']} cores" in text
    assert "| Weir | 0.1.0" in text


def test_a_part_that_fails_is_told_and_costs_the_others_nothing() -> None:
    def broken() -> list[dict[str, Any]]:
        raise ZeroDivisionError("no luck")

    findings = [measured(replace(FINE, run=broken)), measured(replace(FINE, title="The other"))]
    assert [found.failed for found in findings] == [True, False]
    text = page(findings, "make bench", 1)
    assert "This part failed: ZeroDivisionError: no luck" in text
    assert "## The other\n\n`benchmarks/fine.py`, 0 s.\n\nspeed 2\n" in text


def test_a_part_whose_figures_cannot_be_told_has_failed_too() -> None:
    assert measured(replace(FINE, run=lambda: [{}])).failed


def test_all_four_benchmarks_are_parts_of_it() -> None:
    assert [part.name for part in PARTS] == ["overhead", "streams", "soak", "scale"]


def test_versions_are_numbers() -> None:
    found = versions()
    assert {"Weir", "Python", "aiohttp", "uvloop"} <= found.keys()
    assert all(value[0].isdigit() for value in found.values())
