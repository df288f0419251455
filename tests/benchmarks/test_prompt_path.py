"""What prompts cost is measured on requests that really get them, each its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import uvloop

from benchmarks.prompt_path import measured


def test_each_route_is_asked_and_compared_with_the_one_without_a_prompt(tmp_path: Path) -> None:
    ways, steps = uvloop.run(measured(tmp_path, requests=10, rounds=2))
    none, *others = ways
    assert (none.prompt, none.ratio, none.added_us) == ("no prompt", 1.0, 0.0)
    assert [way.prompt for way in others] == ["a text", "slots and 4 demonstrations", "the same, promoted"]
    assert min(each.us for each in (*ways, *steps)) > 0
    with sqlite3.connect(tmp_path / "state/weir.db") as ledger:
        found = ledger.execute("SELECT route, prompt_version, count(*) FROM usage_events GROUP BY 1, 2").fetchall()
    assert sorted((route, number) for route, _, number in found) == [
        (route, 30) for route in ("none", "promoted", "shown", "text")
    ]
    versions = {route: version for route, version, _ in found}
    assert versions["none"] == ""
    assert len(set(versions.values())) == 4, "the promoted version is not the file's, which `shown` has too"
