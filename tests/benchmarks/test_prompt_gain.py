"""The figures of searches are those of a whole one, and what it found is really asked for where it is served."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from benchmarks.prompt_gain import EXAMPLE, Task, gain, order_of, serves_what_was_tested
from evals.records import Row
from evals.run_folder import RESULTS
from prompts.optimise.optimisation import Prepared, optimise, prepared
from prompts.optimise.outcome import Outcome
from prompts.optimise.trial import AFTER, Scoring
from prompts.optimise.watching import Stop
from tests.evals.runner.plain import no_encoder
from tests.prompts.optimise.plain_order import suite_in


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("suite")
    suite_in(folder)
    return Task("shorten", 0, None, "light", 0.4, folder, EXAMPLE / "optimise.yaml")


def searched(task: Task, folder: Path) -> tuple[Prepared, Outcome]:
    ready = prepared(order_of(task, folder), Scoring(no_encoder))
    return ready, optimise(ready, by="somebody", stop=Stop(), watch=lambda _: None)


def test_a_search_is_measured_from_its_beginning_to_what_is_served(task: Task) -> None:
    found = gain(task)
    assert found.served is True
    assert found.tokens[0] > found.tokens[1] > 0
    assert found.quality.verdict
    assert found.searched < found.spent
    assert 0 < found.made[0] <= 2 * found.expected[0]
    assert found.steps


def test_a_budget_that_cannot_pay_for_the_test_is_told(task: Task) -> None:
    found = gain(replace(task, budget=Decimal("0.001")))
    assert (found.came_to, found.served, found.spent) == ("too small", None, 0)
    assert "--budget-usd 0.001" in found.reason


def test_an_answer_that_is_not_the_tested_one_is_found_out(task: Task, tmp_path: Path) -> None:
    ready, outcome = searched(task, tmp_path)
    assert outcome.evidence is not None
    file = ready.order.folder / AFTER / RESULTS
    lines = file.read_bytes().splitlines()
    row = msgspec.json.decode(lines[-1], type=Row)
    assert row.answer is not None
    other = msgspec.structs.replace(row, answer=msgspec.structs.replace(row.answer, text="something else"))
    file.write_bytes(b"\n".join([*lines[:-1], msgspec.json.encode(other), b""]))
    assert not serves_what_was_tested(ready, outcome)
