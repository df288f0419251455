"""Two runs become evidence: what compare says of them, whether it passes, when it pays, and who answered."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from numpy.random import default_rng

from evals.comparison import compare
from evals.records import Answer, Row, Score, ToolCall
from evals.run_folder import Run
from evals.suite import read_suite
from evals.verdicts import BETTER, NOT_ENOUGH, NOT_WORSE, WORSE
from prompts.evidence import Evidence, ServedBy, read, written
from prompts.optimise.evidencing import breaks_even, contract_breaks, contract_refusal, evidence_of, passes
from prompts.optimise.order import Order
from prompts.prompt import BookedPrompt, Contract
from router.config.load import load
from tests.evals.made_runs import SCORER, made_cases, made_row, made_run

SUPPORT = Path(__file__).parents[3] / "examples/support"
PROMPT = BookedPrompt.plain("Be brief.", "prepend")
NEW = "1" * 16
COUNT = 240
CONFIG = """\
upstreams:
  pretend: {kind: scripted}
models:
  small: {upstream: pretend, name: echo, price: {input: 1, output: 1}}
  large: {upstream: pretend, name: mirror, price: {input: 1, output: 1}}
prompts:
  support: {file: support.md}
routes:
  support: {candidates: [small, large], prompt: support}
tenants:
  acme: {}
"""


def order(folder: Path, **other: Any) -> Order:
    path = folder / "weir.yaml"
    path.write_text(other.pop("config", CONFIG), encoding="utf-8")
    (folder / "support.md").write_text("Be brief.", encoding="utf-8")
    fields: dict[str, Any] = {
        "loaded": load(path, {}),
        "path": path,
        "state": folder / "state",
        "route": "support",
        "name": "support",
        "prompt": PROMPT,
        "tenant": "acme",
        "suite": read_suite(SUPPORT / "suite"),
        "optimiser": "gepa",
        "folder": folder / "out",
        "reflect_with": "large",
        "most_tokens": 4000,
    }
    return Order(**{**fields, **other})


def run(
    folder: Path,
    scores: Sequence[float | None],
    *,
    cost: str | None = "0.001",
    tokens: int = 100,
    version: str = NEW,
    model: str = "small",
    texts: Sequence[str] = (),
    asked: int | None = None,
    segments: int = 1,
) -> Run:
    """`asked`: how many of the cases have been, if not all."""
    cases = made_cases(len(scores), segments=segments)
    rows: list[Row] = []
    for place, (case, score) in enumerate(zip(cases, scores, strict=True)):
        row = made_row(case, score)
        if row.answer is not None:
            answer = Answer(
                text=texts[place] if texts else "x",
                model=model,
                prompt_tokens=tokens,
                cost=None if cost is None else Decimal(cost),
                latency_ms=100.0,
                evidence={"prompt": version},
            )
            row = replace(row, answer=answer)
        rows.append(row)
    return made_run(folder, cases, rows[:asked])


def half(count: int = COUNT) -> list[float]:
    return [float(place % 2) for place in range(count)]


def found(folder: Path, after: Run, **other: Any) -> Evidence:
    before = run(folder / "before", half(len(after.cases)), version=PROMPT.version)
    refusals = other.pop("refusals", ())
    return evidence_of(order(folder, **other), before, after, spent=Decimal("2.50"), refusals=refusals)


def test_a_better_one_passes(tmp_path: Path) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", [1.0] * COUNT, segments=2))
    assert (evidence.quality.before, evidence.quality.after) == (0.5, 1.0)
    assert evidence.quality.verdict == BETTER
    passed, reason = passes(evidence)
    assert passed
    assert reason.startswith("quality better (+50.0 points, 95 %: +4")


def test_the_figures_are_those_of_a_comparison(tmp_path: Path) -> None:
    before = run(tmp_path / "before", half(), version=PROMPT.version, segments=3)
    after = run(tmp_path / "after", [1.0] * 200 + [0.0] * 40, cost="0.0005", segments=3)
    evidence = evidence_of(order(tmp_path), before, after, spent=Decimal(0), refusals=())
    compared = compare(before, after)
    for change, outcome in ((evidence.quality, "quality"), (evidence.cost, "cost")):
        finding = compared.overall.findings[outcome]  # type: ignore[index]
        assert change is not None
        assert (change.before, change.after, change.verdict) == (finding.a, finding.b, finding.verdict)
        assert (change.change, change.low, change.high) == (
            finding.change.value,
            finding.change.low,
            finding.change.high,
        )
    assert [(share.segment, share.cases) for share in evidence.segments] == [("s0", 80), ("s1", 80), ("s2", 80)]
    assert evidence.segments[2].quality.after == compared.segments[2].findings["quality"].b
    assert (evidence.before, evidence.after, evidence.cases) == (PROMPT.version, NEW, COUNT)
    assert read(written(evidence)) == evidence


@pytest.mark.parametrize(
    ("cost", "objective", "passed", "said"),
    [
        ("0.0005", "quality", True, "and cheaper (-50.0 %"),
        ("0.0005", "cost", True, "and cheaper (-50.0 %"),
        ("0.001", "quality", False, "not shown to be better or cheaper"),
        ("0.001", "cost", False, "not shown to be cheaper"),
        (None, "quality", False, "not shown to be better or cheaper"),
    ],
)
def test_one_that_is_not_worse_must_be_cheaper(
    tmp_path: Path, cost: str | None, objective: str, passed: bool, said: str
) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", half(), cost=cost), objective=objective)
    assert evidence.quality.verdict == NOT_WORSE
    found_passed, reason = passes(evidence)
    assert found_passed is passed
    assert said in reason


def test_a_better_one_that_is_not_cheaper_is_not_what_was_wanted_of_cost(tmp_path: Path) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", [1.0] * COUNT), objective="cost")
    assert not passes(evidence)[0]


@pytest.mark.parametrize(
    ("scores", "verdict"), [([0.0] * COUNT, WORSE), (half(20), f"{NOT_ENOUGH} ("), (half(4), NOT_ENOUGH)]
)
def test_a_cheaper_one_that_is_worse_or_hardly_tested_does_not_pass(
    tmp_path: Path, scores: list[float], verdict: str
) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", scores, cost="0.0001"))
    assert evidence.quality.verdict.startswith(verdict)
    assert not passes(evidence)[0]


def test_nothing_passes_that_is_refused(tmp_path: Path) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", [1.0] * COUNT), refusals=["it quotes c1", "it is too long"])
    assert passes(evidence) == (False, "it quotes c1; it is too long")


@pytest.mark.parametrize(("score", "verdict"), [(1.0, NOT_ENOUGH), (0.0, WORSE)])
def test_a_run_that_did_not_end_is_only_enough_to_be_worse(tmp_path: Path, score: float, verdict: str) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", [score] * COUNT, asked=COUNT - 1))
    assert evidence.quality.verdict == verdict
    assert not passes(evidence)[0]


def test_nothing_is_known_where_no_case_was_asked_of_both(tmp_path: Path) -> None:
    before = run(tmp_path / "before", half(), asked=0)
    after = run(tmp_path / "after", half())
    evidence = evidence_of(order(tmp_path), before, after, spent=Decimal(0), refusals=())
    assert (evidence.quality.low, evidence.quality.high) == (-1.0, 1.0)
    assert passes(evidence) == (False, "quality not enough cases (+0.0 points, 95 %: -100.0 to +100.0)")


@pytest.mark.parametrize(
    ("spent", "before", "after", "requests"),
    [
        ("2.50", "0.001", "0.0005", 5000),
        ("2.50", "0.001", "0.0009", 25000),
        ("1", "0.003", "0", 334),
        ("0.000000000001", "0.000000000002", "0.000000000001", 1),
        ("0", "0.001", "0.002", 0),
        ("1", "0.001", "0.001", None),
        ("1", "0.001", "0.002", None),
        ("1", None, "0.002", None),
    ],
)
def test_when_it_pays_is_arithmetic(
    spent: str, before: str | None, after: str | None, requests: int | None
) -> None:
    one, other = (None if each is None else Decimal(each) for each in (before, after))
    assert breaks_even(Decimal(spent), one, other) == requests


def test_it_is_of_the_answers_that_both_gave(tmp_path: Path) -> None:
    """The 2.50 dollars are saved at 0.0005 a request; the failed answer counts on neither side."""
    after = run(tmp_path / "after", [*half(COUNT - 1), None], cost="0.0005", tokens=40)
    evidence = found(tmp_path, after)
    assert evidence.breaks_even == 5000
    assert (evidence.prompt_tokens_before, evidence.prompt_tokens_after) == (100.0, 40.0)
    assert "The $2.5 of the search are saved after 5,000 requests." in evidence.summary


def test_it_names_who_answered_and_whom_the_policy_never_chose(tmp_path: Path) -> None:
    small = ServedBy(model="small", upstream="pretend", name="echo")
    after = run(tmp_path / "after", half())
    assert (found(tmp_path, after).models, found(tmp_path, after).unasked) == ((small,), ())
    learned = CONFIG.replace("prompt: support}", "prompt: support, policy: {kind: learned, goal: {share: 0.1}}}")
    evidence = found(tmp_path, after, config=learned)
    assert (evidence.models, evidence.unasked) == ((small,), ("large",))


def test_one_that_stood_in_for_a_failed_model_was_not_measured(tmp_path: Path) -> None:
    evidence = found(tmp_path, run(tmp_path / "after", half(), model="large"))
    assert (evidence.models, evidence.unasked) == ((), ("small",))


def test_answers_under_two_versions_are_evidence_of_neither(tmp_path: Path) -> None:
    after = run(tmp_path / "after", half())
    rows = list(after.rows)
    assert rows[0].answer is not None
    rows[0] = replace(rows[0], answer=replace(rows[0].answer, evidence={"prompt": "2" * 16}))
    mixed = Run(after.folder, after.manifest, after.cases, rows)
    with pytest.raises(ValueError, match="2 versions"):
        found(tmp_path, mixed)


@pytest.mark.parametrize(
    ("contract", "broken"),
    [
        (Contract(text="Be nice."), ()),
        (Contract(most_words=3), ("c2", "c3")),
        (Contract(matches="^[{a]"), ("c1",)),
        (Contract(never_matches="(?i)REFUND"), ("c1", "c2")),
        (Contract(json_schema={"type": "object", "required": ["a"]}), ("c1", "c2", "c3")),
        (Contract(json_schema={"type": "object"}, most_words=1), ("c0", "c1", "c2", "c3")),
    ],
)
def test_answers_are_held_against_the_contract(tmp_path: Path, contract: Contract, broken: tuple[str, ...]) -> None:
    texts = ['{"a": 1}', "No refund", "a refund takes long", 'a ```json\n{"a": 2}\n```', "gone"]
    made = run(tmp_path / "after", [1.0] * 4 + [None], texts=texts)
    assert contract_breaks(contract, made) == broken


def test_what_cannot_be_checked_in_time_counts_as_broken(tmp_path: Path) -> None:
    endless = Contract(never_matches=r"^(\w|\w\w|\s|\w\s)*$")
    text = "the quick brown fox jumps over the lazy dog and then over a pig!"
    assert contract_breaks(endless, run(tmp_path / "after", [1.0], texts=[text])) == ("c0",)


def test_calls_of_tools_are_no_answer_yet(tmp_path: Path) -> None:
    cases = made_cases(1)
    answer = Answer(tool_calls=(ToolCall("look", "{}"),))
    row = replace(made_row(cases[0], 1.0), answer=answer, scores={SCORER: Score(value=1.0)})
    assert contract_breaks(Contract(matches="x"), made_run(tmp_path, cases, [row])) == ()


def test_a_contract_may_not_be_broken_more_often_than_before(tmp_path: Path) -> None:
    contract = Contract(matches="good")
    before = run(tmp_path / "before", [1.0] * 9, texts=["bad", *["good"] * 8])
    same = run(tmp_path / "same", [1.0] * 9, texts=["good", "bad", *["good"] * 7])
    worse = run(tmp_path / "worse", [1.0] * 9, texts=["bad"] * 8 + ["good"])
    assert contract_refusal(contract, before, same) == ""
    assert contract_refusal(contract, before, worse) == (
        "answers break the prompt's contract in 8 cases, 1 before; new are c1, c2, c3, c4, c5 and 2 more"
    )


def test_one_that_is_no_better_is_seldom_called_so(tmp_path: Path) -> None:
    """In one of forty by its level, so that of 80 more than six would come once in a hundred times."""
    called = 0
    for seed in range(80):
        before, after = ([float(value) for value in values] for values in default_rng(seed).random((2, 40)) < 0.6)
        runs = run(tmp_path / f"a{seed}", before, version=PROMPT.version), run(tmp_path / f"b{seed}", after)
        evidence = evidence_of(order(tmp_path), *runs, spent=Decimal(1), refusals=())
        called += passes(evidence)[0]
    assert called <= 6
