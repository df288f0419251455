"""What counts budgets: one counter for all who spend, or a refusal to begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.database import Database, sqlite_url
from router.bookkeeping import CountersMissing, counters_of, require_counters
from router.config.load import Loaded, load
from router.main import House

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {small: {upstream: stand-in, price: {input: 1, output: 1}}}
tenants: {acme: {}}
"""
BUDGET = "budgets: {calm: {requests: 9, per: minute}}\n"


def loaded(folder: Path, more: str = "", counters: str = "redis://127.0.0.1:1") -> Loaded:
    path = folder / "weir.yaml"
    path.write_text(CONFIG + more)
    return load(path, {"COUNTERS": counters})


async def test_a_counter_that_is_no_redis_is_told_with_advice(tmp_path: Path) -> None:
    found = loaded(tmp_path, "ledger: {counters: '${COUNTERS}'}\n", "unix:///redis.sock?db=first")
    with pytest.raises(CountersMissing, match="not the URL of a Redis"):
        counters_of(found, Database(sqlite_url(tmp_path)), tmp_path, workers=1, alert=lambda _: None)


def test_several_workers_need_a_common_counter_for_what_must_hold(tmp_path: Path) -> None:
    with pytest.raises(CountersMissing, match="budget 'calm'"):
        require_counters(loaded(tmp_path, BUDGET).config, 2)
    require_counters(loaded(tmp_path, BUDGET).config, 1)
    require_counters(loaded(tmp_path, BUDGET.replace("}}", ", hard: false}}")).config, 2)
    require_counters(loaded(tmp_path, BUDGET + "ledger: {counters: '${COUNTERS}'}\n").config, 2)


@pytest.mark.parametrize("more", [BUDGET, BUDGET + "ledger: {counters: '${COUNTERS}'}\n"])
async def test_so_they_do_when_the_configuration_changes(tmp_path: Path, more: str) -> None:
    """A counter takes a new start."""
    state = tmp_path / "state"
    state.mkdir()
    house = House(loaded(tmp_path), tmp_path / "weir.yaml", state=state, bound_to="127.0.0.1", worker=0, workers=2)
    try:
        await house.open()
        with pytest.raises(CountersMissing, match="budget 'calm'"):
            await house.take(loaded(tmp_path, more))
        assert "calm" not in house.in_force.config.budgets
    finally:
        await house.close()
