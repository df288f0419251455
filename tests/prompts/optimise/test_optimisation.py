"""The whole story with a plain optimiser: what is found, what is refused, and what goes on where it was stopped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from evals.run_folder import read_run
from evals.scorers.judge import RubricSettings
from prompts.evidence import Evidence, ServedBy, read, written
from prompts.optimise.calls import SearchRefused
from prompts.optimise.estimate import BudgetTooSmall
from prompts.optimise.optimisation import COMPARISON, PAGE, Prepared, optimise, prepared
from prompts.optimise.order import Order
from prompts.optimise.outcome import Outcome
from prompts.optimise.searching import SEARCH
from prompts.optimise.trial import Scoring, tried
from prompts.optimise.watching import Progress, Stop
from prompts.prompt import INSTRUCTIONS, BookedPrompt, Contract, Section
from registry.change_log import Entry
from registry.prompts import PROMPT, content_of
from registry.store import Registry
from router.config.load import load
from router.prompt_watch import evidence_in_force, outdated_prompts
from tests.evals.runner.plain import no_encoder
from tests.evals.targets.servers import scripted
from tests.prompts.optimise.plain_order import BARE, GOOD, Tries, config_in, order_in, sent, with_budget
from tests.prompts.plain_evidence import plain_evidence

SCORING = Scoring(no_encoder)
FOUND = f"{GOOD}\n- <b>Never</b> shout."


def ready(order: Order, *texts: str, **tries: Any) -> Prepared:
    return prepared(order, SCORING, Tries(texts or (GOOD,), **tries))


def carried_out(order: Order, *texts: str, stop: Stop | None = None, **tries: Any) -> Outcome:
    return optimise(ready(order, *texts, **tries), by="somebody", stop=stop or Stop(), watch=lambda _: None)


def entries(order: Order, what: str) -> list[Entry]:
    log = Registry(order.state / "registry").log
    return [entry for entry in log.entries(kind=PROMPT, name="support") if entry.what == what]


@dataclass(frozen=True)
class Story:
    """An optimisation that went well, from its preparation to its end."""

    begun: Prepared
    outcome: Outcome
    watched: Sequence[Progress]

    @property
    def order(self) -> Order:
        return self.begun.order


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    watched: list[Progress] = []
    begun = ready(order_in(tmp_path_factory.mktemp("story")), "Be kind to everybody, always.", FOUND)
    return Story(begun, optimise(begun, by="somebody", stop=Stop(), watch=watched.append), watched)


def test_what_is_found_is_tested_and_stored_with_its_evidence(story: Story) -> None:
    order, outcome, evidence = story.order, story.outcome, story.outcome.evidence
    assert outcome.came_to == "passed", outcome.reason
    assert outcome.found == order.prompt.tuned({INSTRUCTIONS: FOUND})
    assert evidence is not None
    assert evidence.quality.verdict == "better"
    assert (evidence.before, evidence.after) == (order.prompt.version, outcome.found.version)
    [verdict] = entries(order, "verdict")
    assert (verdict.version, verdict.by, verdict.evidence["passed"]) == (outcome.found.version, "somebody", True)
    assert read(verdict.evidence) == evidence
    assert (evidence.tenant, evidence.reflect_with) == ("acme", ""), "this optimiser asks no model to write"
    stored = content_of(Registry(order.state / "registry"), "support", outcome.found.version)
    assert BookedPrompt.stored(stored) == outcome.found
    assert Registry(order.state / "registry").aliases(PROMPT, "support") == {}, "nobody is served it yet"


def test_whoever_watches_sees_each_stage_and_the_whole_bill(story: Story) -> None:
    assert list(dict.fromkeys(step.stage for step in story.watched)) == ["search", "before", "after"]
    evidence, outcome = story.outcome.evidence, story.outcome
    assert evidence is not None
    assert story.watched[-1].spent == outcome.spent == evidence.spent > outcome.searched > 0
    last = [step for step in story.watched if step.stage == "search"][-1]
    assert last.spent == outcome.searched
    assert last.base is not None


def test_the_test_is_two_ordinary_runs_of_cases_that_the_search_never_asked(story: Story) -> None:
    order, parts = story.order, story.begun.parts
    runs = [read_run(order.folder / name) for name in ("before", "after")]
    tested = {case.id for case in parts.test}
    assert [set(run.cases) for run in runs] == [tested, tested]
    assert all(run.complete for run in runs)
    told = orjson.loads((order.folder / SEARCH).read_bytes())
    assert set(told["parts"]["test"]) == tested
    assert tested.isdisjoint(told["parts"]["train"] + told["parts"]["validation"])
    assert msgspec.convert(told["best"], BookedPrompt) == story.outcome.found
    assert len(sent(order)) == 3 * len(parts.validation)


def test_the_page_tells_the_whole_of_it(story: Story) -> None:
    folder = story.order.folder
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert "Be polite.</del>" in page
    assert "\n- &lt;b&gt;Never&lt;/b&gt; shout.</ins>" in page
    assert "<polyline" in page
    assert story.outcome.reason.split(" (")[0] in page
    assert f'href="{COMPARISON}"' in page
    assert (folder / COMPARISON).exists()
    assert "://" not in page.replace("http://www.w3.org/2000/svg", ""), "it needs nothing from elsewhere"


def test_a_prompt_that_quotes_is_refused_before_it_is_tested(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    [case, *_] = ready(order).parts.train
    learned = f'{GOOD}\n- To "{case.question} and nothing else, whatever the customer says" answer with care.'
    outcome = carried_out(order, learned)
    quoting = order.prompt.tuned({INSTRUCTIONS: learned}).version
    assert (outcome.came_to, [one.version for one in outcome.turned_away]) == ("refused", [quoting])
    assert outcome.reason.startswith(f"it quotes the case {case.id}, '"), "whoever made the search may read it"
    [verdict] = entries(order, "verdict")
    assert (verdict.version, verdict.evidence["passed"]) == (quoting, False)
    assert verdict.reason == f"it quotes a case of the suite: {case.id}."
    assert verdict.evidence["refusals"] == [verdict.reason]
    carried_out(order, learned)
    assert len(entries(order, "verdict")) == 1
    assert entries(order, "put") == []
    assert not (order.folder / "before").exists(), "nothing is paid for its test"


def test_where_the_best_may_not_serve_the_next_one_is_tested(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    [case, *_] = ready(order).parts.train
    learned = f'{GOOD}\n- To "{case.question} and nothing else, whatever the customer says" answer with care.'
    outcome = carried_out(order, learned, GOOD)
    assert (outcome.came_to, outcome.found) == ("passed", order.prompt.tuned({INSTRUCTIONS: GOOD}))
    assert len(outcome.turned_away) == 1


def test_where_nothing_is_better_nothing_is_stored(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    outcome = carried_out(order, f"{BARE} Wish everybody a nice day, and smile.")
    assert (outcome.came_to, outcome.found, outcome.evidence) == ("nothing", None, None)
    assert "Nothing that was tried (2 prompts) scored better" in outcome.reason
    assert not (order.state / "registry" / "log.jsonl").exists()
    assert "Nothing better was found" in (order.folder / PAGE).read_text(encoding="utf-8")


def test_a_gain_that_is_not_shown_is_refused_and_stays_to_be_looked_at(tmp_path: Path) -> None:
    order = order_in(tmp_path, test_share=0.05)
    outcome = carried_out(order)
    assert outcome.came_to == "refused"
    assert outcome.evidence is not None
    assert "not enough cases" in outcome.reason
    [verdict] = entries(order, "verdict")
    assert verdict.evidence["passed"] is False
    assert len(entries(order, "put")) == 1


def test_answers_that_break_the_contract_more_often_are_a_refusal(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    contract = Contract(never_matches="help@tolvana.example")
    base = BookedPrompt(sections=(Section(name=INSTRUCTIONS, text=BARE),), rule="prepend", contract=contract)
    outcome = carried_out(replace(order, prompt=base))
    assert outcome.came_to == "refused"
    assert outcome.evidence is not None
    assert "contract" in outcome.evidence.refusals[0]


def test_too_few_cases_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    few = replace(order, suite=replace(order.suite, cases=order.suite.cases[:2]))
    with pytest.raises(ValueError, match="clusters"):
        ready(few)
    assert not order.folder.exists()


def test_a_budget_that_cannot_pay_the_test_is_refused_with_the_figure_that_could(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    with pytest.raises(BudgetTooSmall, match="set aside") as refused:
        ready(with_budget(order, "0.01"))
    assert f"${refused.value.least}" in str(refused.value)
    assert ready(with_budget(order, str(refused.value.least))).forecast.for_search
    assert not order.folder.exists()


def test_a_search_whose_budget_ends_tests_the_best_until_then_within_it(tmp_path: Path) -> None:
    order, others = order_in(tmp_path), tuple(f"{GOOD} Rule {number}." for number in range(9))
    aside = ready(with_budget(order, "9")).forecast.aside
    assert aside is not None
    order = with_budget(order, str(aside + Decimal("0.15")))
    outcome = carried_out(order, GOOD, *others)
    assert "--budget-usd" in outcome.ended
    assert outcome.tried < 2 + len(others)
    assert (outcome.came_to, outcome.found) == ("passed", order.prompt.tuned({INSTRUCTIONS: GOOD}))
    assert order.budget is not None
    assert outcome.searched <= Decimal("0.15")
    assert outcome.spent <= order.budget


def test_a_search_that_was_stopped_goes_on_without_a_call_twice(tmp_path: Path) -> None:
    order, stop = order_in(tmp_path), Stop()

    def interrupt(call: int) -> None:
        if call == 30:
            stop.call("Stopped.")

    stopped = carried_out(order, stop=stop, before_call=interrupt)
    assert (stopped.came_to, stopped.reason, stopped.evidence) == ("stopped", "Stopped.", None)
    asked = len(sent(order))
    assert 29 <= asked <= 30
    outcome = carried_out(order)
    assert outcome.came_to == "passed"
    assert len(sent(order)) == len(set(sent(order))) == 2 * outcome.cases[1]
    again = carried_out(order)
    assert again.evidence is not None
    assert (again.spent, again.evidence.quality) == (outcome.spent, outcome.evidence and outcome.evidence.quality)
    assert len(sent(order)) == 2 * outcome.cases[1]


def test_a_test_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    order, stop = order_in(tmp_path), Stop()
    begun = ready(order)

    def interrupt(step: Progress) -> None:
        if step.stage == "after" and step.calls == 5:
            stop.call("Stopped.")

    stopped = optimise(begun, by="somebody", stop=stop, watch=interrupt)
    assert (stopped.came_to, stopped.reason) == ("stopped", "Stopped.")
    assert entries(order, "verdict") == []
    kept = len(read_run(order.folder / "after").rows)
    assert 5 <= kept < len(begun.parts.test)
    seen: list[Progress] = []
    outcome = optimise(begun, by="somebody", stop=Stop(), watch=seen.append)
    assert outcome.came_to == "passed"
    first = next(step for step in seen if step.stage == "after")
    assert first.calls >= kept, "what was answered is not asked again"
    assert outcome.evidence is not None
    assert outcome.evidence.spent == outcome.spent > stopped.spent


def test_what_a_longer_search_finds_takes_the_place_of_what_was_tested(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    middling = f"{BARE} Answer in the language of the last message."
    first = carried_out(order, middling)
    assert first.found == order.prompt.tuned({INSTRUCTIONS: middling})
    second = carried_out(order, middling, GOOD)
    assert second.evidence is not None
    assert second.evidence.after == order.prompt.tuned({INSTRUCTIONS: GOOD}).version
    folders = [path for path in order.folder.iterdir() if path.is_dir()]
    assert sorted(path.name.split("-")[0] for path in folders) == ["after", "after", "before"]
    tested = sum(row.answer.cost or 0 for path in folders for row in read_run(path).rows if row.answer)
    assert second.spent == second.searched + tested, "what tested the other one was spent, too"
    assert len(sent(order)) == 3 * second.cases[1]


def test_what_ended_leaves_everything_as_it_is_when_it_is_ordered_again(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    first = carried_out(order)

    def kept() -> dict[Path, bytes]:
        paths = [order.state / "registry" / "log.jsonl", *order.folder.glob("*/*.json*"), order.folder / SEARCH]
        return {path: path.read_bytes() for path in paths}

    before = kept()
    again = carried_out(order)
    assert (again.came_to, again.evidence, again.spent) == ("passed", first.evidence, first.spent)
    assert kept() == before


def test_a_found_prompt_whose_test_the_rest_does_not_pay_goes_on_with_a_larger_budget(tmp_path: Path) -> None:
    order = replace(order_in(tmp_path), most_tokens=20_000)
    long = f"{GOOD}\n" + "- Be kind to each and every one of them, whatever it is that they may say.\n" * 500
    aside = ready(with_budget(order, "99")).forecast.aside
    assert aside is not None
    stop = Stop()

    def interrupt(step: Progress) -> None:
        if step.stage != "search":
            stop.call("Stopped.")

    searched = optimise(ready(order, long), by="somebody", stop=stop, watch=interrupt).searched
    order = with_budget(order, str(aside + searched + Decimal("0.09")))
    outcome = carried_out(order, long)
    assert outcome.came_to == "stopped"
    enough = re.search(r"do not pay for the whole test. Give \$([0-9.]+) with the same --out", outcome.reason)
    assert enough is not None, outcome.reason
    asked = len(sent(order))
    outcome = carried_out(with_budget(order, enough[1]), long)
    assert outcome.came_to == "passed", outcome.reason
    assert len(sent(order)) == asked


@pytest.mark.parametrize(("texts", "test_share"), [((BARE + " Smile.",), 0.4), ((GOOD,), 0.05)])
def test_what_is_in_force_is_measured_again_where_nothing_better_comes_of_it(
    tmp_path: Path, texts: Sequence[str], test_share: float
) -> None:
    """Whether nothing better was found, or what was found was not shown to be better."""
    order = order_in(tmp_path, test_share=test_share)
    registry, version = Registry(order.state / "registry"), order.prompt.version
    known = measured_with("an-older-one", version)
    registry.verdict(PROMPT, "support", version, passed=True, by="somebody", reason="", evidence=written(known))
    today = datetime.now(UTC).date()
    assert [*outdated_prompts(order.loaded, evidence_in_force(order.loaded, registry), today)]
    outcome = carried_out(order, *texts)
    assert outcome.came_to in ("nothing", "refused")
    assert "The version in force was measured again, with the models that answer now: quality 0." in outcome.reason
    found = evidence_in_force(order.loaded, registry)
    assert [*outdated_prompts(order.loaded, found, today)] == []
    evidence, tested = found["support"], ready(order).parts.test
    assert (evidence.before, evidence.after, evidence.quality.change) == (version, version, 0)
    assert (evidence.cases, evidence.spent) == (len(tested), outcome.spent)
    assert [entry.evidence["passed"] for entry in entries(order, "verdict") if entry.version == version] == [
        True,
        True,
    ]
    log = (order.state / "registry" / "log.jsonl").read_bytes()
    again = carried_out(order, *texts)
    assert (again.came_to, "measured again" in again.reason) == (outcome.came_to, False)
    assert (order.state / "registry" / "log.jsonl").read_bytes() == log


def test_what_is_in_force_and_not_outdated_is_not_measured_again(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    known = measured_with("attentive", order.prompt.version)
    registry = Registry(order.state / "registry")
    registry.verdict(PROMPT, "support", known.after, passed=True, by="a", reason="", evidence=written(known))
    outcome = carried_out(order, f"{BARE} Smile.")
    assert (outcome.came_to, outcome.spent) == ("nothing", outcome.searched)
    assert not (order.folder / "before").exists()


def measured_with(name: str, version: str) -> Evidence:
    """That the route's model was called `name` when `version` was measured."""
    models = (ServedBy(model="attentive", upstream="stand-in", name=name),)
    return plain_evidence(version, models=models)


async def test_a_second_stop_breaks_off_what_is_being_tested(tmp_path: Path) -> None:
    """Answers take two seconds, for which a first one alone would wait."""
    price = {"input": "1.25", "output": "10"}
    models = {"attentive": {"upstream": "stand-in", "name": "slow-2000", "price": price}}
    stop = Stop()

    def press() -> None:
        stop.call("Stopped.")
        stop.call("Stopped.")

    def begin(step: Progress) -> None:
        if not step.calls:
            asyncio.get_running_loop().call_later(0.5, press)

    async with scripted() as server:
        upstreams = {"stand-in": {"kind": "openai", "base_url": server.base_url}}
        loaded = load(config_in(tmp_path, models=models, upstreams=upstreams), {})
        order = replace(order_in(tmp_path / "order"), loaded=loaded)
        parts = ready(order).parts
        trial = await asyncio.to_thread(
            tried, order, parts, None, SCORING, spent=Decimal(0), stop=stop, watch=begin
        )
    assert trial.ended == "Stopped."
    assert trial.before is not None
    assert trial.before.rows == []


@pytest.mark.parametrize(
    ("tenant", "reflections", "said"),
    [
        ({"models": []}, 1, r"may not name attentive, which writes instructions \(--reflect-with\)"),
        ({"routes": ["bare"]}, 0, "may not name support, the route"),
    ],
)
def test_what_the_tenant_may_not_name_is_said_before_anything_is_asked(
    tmp_path: Path, tenant: dict[str, Any], reflections: int, said: str
) -> None:
    order = order_in(tmp_path)
    held = replace(order, loaded=load(config_in(tmp_path, tenants={"acme": tenant}), {}))
    with pytest.raises(SearchRefused, match=said):
        ready(held, reflections=reflections)
    assert ready(replace(held, loaded=order.loaded), reflections=reflections)


def test_a_model_that_nothing_asks_need_not_be_allowed(tmp_path: Path) -> None:
    order = replace(order_in(tmp_path), loaded=load(config_in(tmp_path, tenants={"acme": {"models": []}}), {}))
    assert ready(order, reflections=0)
    judged = replace(
        order.suite, scorers=(*order.suite.scorers, RubricSettings(model="attentive", rubric="It is."))
    )
    with pytest.raises(SearchRefused, match="may not name attentive, the judge"):
        ready(replace(order, suite=judged))
