"""What a search of the example business is said to take is about what it takes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from evals.suite import read_suite
from prompts.optimise.optimisation import optimise, prepared
from prompts.optimise.order import OptimiserName, Order
from prompts.optimise.trial import Scoring
from prompts.optimise.watching import Stop
from router.config.load import load
from tests.evals.runner.plain import no_encoder
from tests.prompts.optimise.plain_order import EXAMPLE


def order_of(name: OptimiserName, folder: Path) -> Order:
    path = EXAMPLE / "optimise.yaml"
    loaded = load(path, {})
    return Order(
        loaded=loaded,
        path=path,
        state=folder / "state",
        route="support",
        name="support",
        prompt=loaded.prompts["support"],
        tenant=next(iter(loaded.config.tenants)),
        suite=read_suite(EXAMPLE / "suite"),
        optimiser=name,
        folder=folder / "out",
        reflect_with="support-editor",
        most_tokens=loaded.config.prompts["support"].most_tokens,
        objective="cost" if name == "shorten" else "quality",
        budget=Decimal(20),
    )


@pytest.mark.parametrize("name", ["gepa", "miprov2", "bootstrap", "shorten"])
def test_what_is_likely_is_within_a_factor_of_two_of_the_bill(name: OptimiserName, tmp_path: Path) -> None:
    ready = prepared(order_of(name, tmp_path), Scoring(no_encoder))
    likely = ready.forecast.likely
    assert likely is not None
    outcome = optimise(ready, by="me", stop=Stop(), watch=lambda _: None)
    assert likely / 2 <= outcome.spent <= 2 * likely, (likely, outcome.spent)
