"""The line to models: each call is paid once, and never more than the cap is spent."""

from __future__ import annotations

import random
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import LedgerUnavailable
from evals.cases import Case
from evals.records import Answer
from evals.targets.port import TargetFailure
from prompts.optimise.calls import FILE, SearchRefused
from prompts.optimise.line import ANSWER_TOKENS, PaidLine, open_line
from prompts.optimise.ports import CallFailed, Marked, SearchEnded
from prompts.optimise.trial import route_target
from tests.evals.runner.plain import PlainPrice
from tests.evals.targets.test_in_process import events_in
from tests.prompts.optimise.search_orders import PlainWeir, search_order

VERSION = "0123456789abcdef"
JUDGED = "[{kind: judge, model: judge, rubric: It is right.}]"


def echoed(body: Mapping[str, Any]) -> Answer:
    return Answer(text=body["messages"][-1]["content"], prompt_tokens=10, completion_tokens=5)


def judged(body: Mapping[str, Any]) -> Answer:
    if body["model"] == "judge":
        return Answer(text='{"reason": "so", "pass": true}', completion_tokens=9, model="judge")
    return echoed(body)


def ask(line: PaidLine, case: Case, said: Sequence[Mapping[str, Any]], temperature: float | None = None) -> Answer:
    return line.task(case, said, temperature, version=VERSION)


def messages(case: Case, text: str = "Be brief.") -> list[Mapping[str, Any]]:
    return [{"role": "system", "content": text}, *case.messages]


def all_at_once(many: int, doing: Callable[[int], Any]) -> list[Any]:
    """What `doing` gives in `many` threads at once, or raises."""
    with ThreadPoolExecutor(many) as pool:
        futures = [pool.submit(doing, number) for number in range(many)]
    return [future.exception() or future.result() for future in futures]


@settings(max_examples=30)
@given(
    cap=st.decimals("0.2", "40", places=3),
    seed=st.integers(0, 9999),
    dear=st.floats(0.02, 0.5),
    starts=st.integers(1, 3),
)
def test_no_bill_within_its_bound_takes_the_search_over_its_cap(
    cap: Decimal, seed: int, dear: float, starts: int
) -> None:
    """Answers take 8 tokens as a rule, and at times 400, fifty times as much: all that they may. Some are billed
    and never come.
    """
    draw = random.Random(seed)

    def reply(body: Mapping[str, Any]) -> Answer | Exception:
        bound = body.get("max_completion_tokens") or body["max_tokens"]
        if draw.random() < 0.1:
            return TargetFailure("upstream_error", "no", retryable=False)
        tokens = bound if draw.random() < dear else 8
        text = '{"reason": "so", "pass": true}' if body["model"] == "judge" else f"answer {draw.random()}"
        prompt = len(body["messages"][-1]["content"]) // 4
        if draw.random() < 0.05:
            weir.billed += PlainPrice().cost(prompt, tokens)
            return TargetFailure("timeout", "too late")
        cost = PlainPrice().cost(prompt, tokens) if draw.random() < 0.5 else None
        return Answer(text=text, prompt_tokens=prompt, completion_tokens=tokens, cost=cost)

    with tempfile.TemporaryDirectory() as folder:
        order = search_order(
            Path(folder), cases=9, scorers=JUDGED, request={"max_tokens": 400}, most_tokens=200, concurrency=8
        )
        weir, spent, reason = PlainWeir(reply, takes_s=0.0005), Decimal(0), ""
        for start in range(starts):
            with open_line(weir, order, cap=cap) as line:

                def work(number: int, line: PaidLine = line, start: int = start) -> None:
                    for turn in range(12):
                        case = order.suite.cases[turn % 9]
                        try:
                            answer = ask(line, case, messages(case, f"{start} {number} {turn}"))
                            line.mark(case, answer)
                            line.model([{"role": "user", "content": f"{start} {number} {turn}"}])
                        except CallFailed:
                            pass
                        except SearchEnded:
                            return

                all_at_once(8, work)
                assert weir.billed <= cap
                spent, reason = line.spent, line.ended
        assert weir.billed <= spent <= cap
        assert not reason or reason.startswith("--budget-usd"), "it ends for no other reason"


def test_a_model_that_is_fifty_times_as_dear_as_listed_is_known_by_its_first_call(tmp_path: Path) -> None:
    def reply(body: Mapping[str, Any]) -> Answer:
        return Answer(text="x", prompt_tokens=30, completion_tokens=20, cost=PlainPrice().cost(30, 20) * 50)

    order, weir = search_order(tmp_path, request={"max_tokens": 20}), PlainWeir(reply, takes_s=0.001)
    case = order.suite.cases[0]
    with open_line(weir, order, cap=Decimal(4)) as line:
        said = all_at_once(8, lambda number: ask(line, case, messages(case, str(number))))
    assert Decimal(0) < weir.billed <= Decimal(4)
    assert sum(isinstance(one, SearchEnded) for one in said) >= 4


def test_what_earlier_calls_told_of_prices_is_known_when_the_search_goes_on(tmp_path: Path) -> None:
    def reply(body: Mapping[str, Any]) -> Answer:
        return Answer(text="x", prompt_tokens=30, completion_tokens=20, cost=PlainPrice().cost(30, 20) * 50)

    order, weir = search_order(tmp_path, request={"max_tokens": 20}), PlainWeir(reply, takes_s=0.001)
    case = order.suite.cases[0]
    with open_line(weir, order, cap=Decimal(4)) as line:
        ask(line, case, messages(case))
    with open_line(weir, order, cap=Decimal(4)) as line:
        ask(line, case, messages(case))
        all_at_once(8, lambda number: ask(line, case, messages(case, str(number))))
    assert Decimal(1) < weir.billed <= Decimal(4)


def test_a_model_that_ignores_its_bound_is_expected_to_do_so_again(tmp_path: Path) -> None:
    def reply(body: Mapping[str, Any]) -> Answer:
        return Answer(text="x", prompt_tokens=30, completion_tokens=500)

    order, weir = search_order(tmp_path, request={"max_tokens": 20}), PlainWeir(reply, takes_s=0.001)
    case = order.suite.cases[0]
    with open_line(weir, order, cap=Decimal("2.9")) as line:
        all_at_once(8, lambda number: ask(line, case, messages(case, str(number))))
    assert Decimal(0) < weir.billed <= Decimal("2.9")


def test_calls_are_bounded_in_number_and_the_first_goes_alone(tmp_path: Path) -> None:
    order = search_order(tmp_path, concurrency=3)
    case = order.suite.cases[0]
    together: list[int] = []

    def reply(body: Mapping[str, Any]) -> Answer:
        together.append(weir.now)
        return echoed(body)

    weir = PlainWeir(reply, takes_s=0.02)
    with open_line(weir, order, cap=None) as line:
        all_at_once(9, lambda number: ask(line, case, messages(case, str(number))))
    assert (weir.most, together[0]) == (3, 0)
    assert len(weir.bodies) == 9


def test_what_was_rendered_is_sent_with_the_suites_fields_and_a_bound(tmp_path: Path) -> None:
    order, weir = search_order(tmp_path, request={"seed": 7, "temperature": 0}), PlainWeir(echoed)
    case = order.suite.cases[0]
    with open_line(weir, order, cap=None) as line:
        assert ask(line, case, messages(case)).text == "question 0"
        ask(line, case, messages(case), temperature=0.7)
        assert line.model([{"role": "user", "content": "Better?"}], temperature=1.0) == "Better?"
    usual = {"seed": 7, "max_completion_tokens": ANSWER_TOKENS, "model": "", "rendered": VERSION}
    assert weir.bodies == [
        {"messages": messages(case), "temperature": 0, **usual},
        {"messages": messages(case), "temperature": 0.7, **usual},
        {
            "messages": [{"role": "user", "content": "Better?"}],
            "max_completion_tokens": 8000,
            "temperature": 1.0,
            "model": "echo",
            "rendered": "",
        },
    ]


def test_a_bound_of_the_suites_own_is_kept(tmp_path: Path) -> None:
    order, weir = search_order(tmp_path, request={"max_tokens": 30}), PlainWeir(echoed)
    with open_line(weir, order, cap=None) as line:
        ask(line, order.suite.cases[0], messages(order.suite.cases[0]))
    assert weir.bodies[0]["max_tokens"] == 30
    assert "max_completion_tokens" not in weir.bodies[0]


def test_a_search_that_goes_on_asks_nothing_twice(tmp_path: Path) -> None:
    order = search_order(tmp_path, scorers=JUDGED)
    serial = iter(range(999))

    def reply(body: Mapping[str, Any]) -> Answer:
        return judged(body) if body["model"] == "judge" else Answer(text=f"{next(serial)}", completion_tokens=5)

    weir = PlainWeir(reply)

    def search() -> tuple[list[str], list[Marked], Decimal]:
        with open_line(weir, order, cap=Decimal(99)) as line:
            answers = [ask(line, case, messages(case)) for case in [*order.suite.cases] * 2]
            marks = [
                line.mark(case, answer) for case, answer in zip([*order.suite.cases] * 2, answers, strict=True)
            ]
            texts = [line.model([{"role": "user", "content": "Better?"}]) for _ in range(2)]
            return [*(answer.text for answer in answers), *texts], marks, line.spent

    first = search()
    asked, told = len(weir.bodies), []
    assert asked == 6 * 2 + 6 * 2 + 2
    assert len({*first[0]}) == 14
    assert search() == first
    assert len(weir.bodies) == asked
    with open_line(weir, order, cap=Decimal(99), told=lambda: told.append(1)) as line:
        ask(line, order.suite.cases[0], messages(order.suite.cases[0], "Another."))
    assert len(weir.bodies) == asked + 1
    assert told == [1]


def test_equal_answers_are_judged_once(tmp_path: Path) -> None:
    order, weir = search_order(tmp_path, scorers=JUDGED), PlainWeir(judged, takes_s=0.01)
    first, second = order.suite.cases[:2]
    with open_line(weir, order, cap=None) as line:
        said = all_at_once(6, lambda number: line.mark(first if number < 3 else second, Answer(text="yes")))
    assert said == [Marked(1.0, "so")] * 6
    assert len(weir.bodies) == 2


def test_a_scorers_reasons_are_told(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case = order.suite.cases[3]
    with open_line(PlainWeir(echoed), order, cap=None) as line:
        assert line.mark(case, ask(line, case, messages(case))).value == 1
        wrong = line.mark(case, Answer(text="nothing"))
    assert wrong.value == 0
    assert "question 3" in wrong.why


def test_a_call_that_failed_is_told_and_asked_again_when_the_search_goes_on(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case, asked = order.suite.cases[0], Counter[str]()

    def reply(body: Mapping[str, Any]) -> Answer | Exception:
        asked["all"] += 1
        return TargetFailure("invalid_request", "Not like this.") if asked["all"] == 1 else echoed(body)

    weir = PlainWeir(reply)
    with open_line(weir, order, cap=Decimal(99)) as line:
        with pytest.raises(CallFailed, match="invalid_request: Not like this"):
            ask(line, case, messages(case))
        assert line.spent == 0
        assert not line.ended
    with open_line(weir, order, cap=Decimal(99)) as line:
        assert ask(line, case, messages(case)).text == "question 0"


def test_a_call_that_may_have_been_paid_counts_in_all_later_starts(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case = order.suite.cases[0]
    weir = PlainWeir(lambda _: TargetFailure("timeout", "Too late."))
    with open_line(weir, order, cap=Decimal(99)) as line, pytest.raises(CallFailed, match="timeout"):
        ask(line, case, messages(case))
    for _ in range(2):
        with open_line(weir, order, cap=Decimal(99)) as line:
            assert line.spent > Decimal(ANSWER_TOKENS) / 1000  # all that was set aside


def test_twenty_failures_in_a_row_end_the_search(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case, weir = order.suite.cases[0], PlainWeir(lambda _: TargetFailure("invalid_request", "No."))
    with open_line(weir, order, cap=None) as line:
        for number in range(20):
            with pytest.raises(CallFailed):
                ask(line, case, messages(case, str(number)))
        assert "20 calls failed in a row, the last one with invalid_request: No." in line.ended
        with pytest.raises(SearchEnded, match="20 calls"):
            ask(line, case, messages(case))


def test_a_weir_that_cannot_write_its_events_ends_the_search_at_once(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case, weir = order.suite.cases[0], PlainWeir(lambda _: TargetFailure(LedgerUnavailable.code, "No room."))
    with open_line(weir, order, cap=None) as line:
        with pytest.raises(CallFailed):
            ask(line, case, messages(case))
        with pytest.raises(SearchEnded, match=r"The state folder takes no usage events.*No room"):
            ask(line, case, messages(case, "another"))


def test_a_model_that_always_fails_ends_the_search_though_others_answer(tmp_path: Path) -> None:
    def reply(body: Mapping[str, Any]) -> Answer | Exception:
        return TargetFailure("invalid_request", "No.") if body["model"] == "echo" else echoed(body)

    order = search_order(tmp_path)
    case = order.suite.cases[0]
    with open_line(PlainWeir(reply), order, cap=None) as line:
        for number in range(20):
            assert not line.ended
            ask(line, case, messages(case, str(number)))
            with pytest.raises(CallFailed):
                line.model([{"role": "user", "content": "Better?"}])
        assert "20 calls of echo failed in a row" in line.ended


def test_a_target_that_no_call_can_use_ends_the_search_at_once(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    weir = PlainWeir(lambda _: TargetFailure("invalid_api_key", "Set another key.", fatal=True))
    with open_line(weir, order, cap=None) as line:
        with pytest.raises(SearchEnded, match="Set another key"):
            ask(line, order.suite.cases[0], messages(order.suite.cases[0]))
        assert line.ended == "Set another key."


def test_whoever_ends_it_lets_calls_under_way_finish(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case, begun = order.suite.cases[0], threading.Event()

    def reply(body: Mapping[str, Any]) -> Answer:
        return echoed(body)

    class Begins(PlainWeir):
        async def ask(self, body: Mapping[str, Any], **how: Any) -> Answer:
            begun.set()
            return await super().ask(body, **how)

    weir = Begins(reply, takes_s=0.2)
    with open_line(weir, order, cap=None) as line, ThreadPoolExecutor() as pool:
        under_way = pool.submit(ask, line, case, messages(case))
        begun.wait()
        line.end("Stopped.")
        with pytest.raises(SearchEnded, match="Stopped"):
            ask(line, case, messages(case, "Late."))
        assert under_way.result().text == "question 0"
        assert line.ended == "Stopped."
    with pytest.raises(SearchEnded):
        ask(line, case, messages(case))
    with open_line(weir, order, cap=None) as line:
        assert ask(line, case, messages(case)).text == "question 0"
    assert len(weir.bodies) == 1


def test_whoever_ends_it_at_once_breaks_off_what_is_under_way_and_it_counts_as_paid(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case, weir = order.suite.cases[0], PlainWeir(echoed, takes_s=3600)
    with open_line(weir, order, cap=Decimal(9)) as line, ThreadPoolExecutor() as pool:
        under_way = pool.submit(ask, line, case, messages(case))
        while not weir.bodies:
            time.sleep(0.001)
        line.end("Stopped.")
        line.end("Stopped.", at_once=True)
        with pytest.raises(SearchEnded, match="Stopped"):
            under_way.result(timeout=60)
        spent = line.spent
    assert spent > Decimal(ANSWER_TOKENS) / 1000  # all that was set aside
    with open_line(PlainWeir(echoed), order, cap=Decimal(9)) as line:
        assert line.spent == spent
        assert ask(line, case, messages(case)).text == "question 0"


def test_leaving_it_early_ends_those_who_wait(tmp_path: Path) -> None:
    order = search_order(tmp_path, concurrency=1)
    case, weir = order.suite.cases[0], PlainWeir(echoed, takes_s=0.1)
    with ThreadPoolExecutor() as pool, open_line(weir, order, cap=None) as line:
        waiting = [pool.submit(ask, line, case, messages(case, str(number))) for number in range(4)]
        while not weir.bodies:
            time.sleep(0.001)
    assert [type(one.exception()) for one in waiting].count(SearchEnded) == 3
    assert len(weir.bodies) == 1


def test_a_full_disk_ends_the_search_and_loses_nothing(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case, weir = order.suite.cases[0], PlainWeir(echoed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_line(weir, order, cap=None) as line:
        ask(line, case, messages(case))
        size = (order.folder / FILE).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, hard))
        try:
            with pytest.raises(SearchEnded, match=r"File too large.*the same command goes on"):
                ask(line, case, messages(case, "More."))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(weir.bodies) == 1, "what cannot be recorded is not sent"
    with open_line(weir, order, cap=None) as line:
        ask(line, case, messages(case))
        ask(line, case, messages(case, "More."))
    assert len(weir.bodies) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, "differs in the seed"),
        ({"route": "auto", "reflect_with": "mirror"}, "differs in its models, the model that reflects"),
        ({"optimiser": "simba"}, "differs in the optimiser"),
        ({"test_share": 0.3}, "differs in the test part"),
    ],
)
def test_another_order_is_refused(tmp_path: Path, changes: Mapping[str, Any], says: str) -> None:
    with open_line(PlainWeir(echoed), search_order(tmp_path), cap=None):
        pass
    with (
        pytest.raises(SearchRefused, match=says),
        open_line(PlainWeir(echoed), search_order(tmp_path, **changes), cap=None),
    ):
        pass


def test_budget_deadline_and_concurrency_may_change(tmp_path: Path) -> None:
    weir = PlainWeir(echoed)
    for changes in ({}, {"concurrency": 2, "timeout_s": 5.0, "budget": Decimal(7)}):
        order = search_order(tmp_path, **changes)
        with open_line(weir, order, cap=order.budget) as line:
            ask(line, order.suite.cases[0], messages(order.suite.cases[0]))
    assert len(weir.bodies) == 1


def test_a_cap_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    weir = PlainWeir(echoed, priced=False)
    with (
        pytest.raises(SearchRefused, match="nobody knows what auto and echo costs"),
        open_line(weir, search_order(tmp_path), cap=Decimal(1)),
    ):
        pass
    with open_line(weir, search_order(tmp_path), cap=None) as line:
        assert line.model([{"role": "user", "content": "Better?"}]) == "Better?"


def test_a_scorer_that_can_judge_nothing_is_refused(tmp_path: Path) -> None:
    order = search_order(tmp_path, scorers="[{kind: pairwise, model: judge, rubric: Better.}, contains_facts]")
    with (
        pytest.raises(SearchRefused, match=r"can judge none of the cases.*another scorer"),
        open_line(PlainWeir(echoed), order, cap=None),
    ):
        pass


async def test_a_whole_weir_adds_no_prompt_and_counts_what_it_spends(tmp_path: Path) -> None:
    order = search_order(tmp_path)
    case = order.suite.cases[0]
    with open_line(route_target(order), order, cap=Decimal(1)) as line:
        answer = ask(line, case, messages(case, "Be long."))
        assert orjson.loads(answer.text)["messages"] == messages(case, "Be long.")
        assert answer.evidence["prompt"] == VERSION
        assert line.model([{"role": "user", "content": "Better?"}]) == "Better?"
        spent = line.spent
    rows = await events_in(order.state)
    assert {row[:2] for row in rows} == {("optimise", "acme")}
    assert (len(rows), sum(row.cost for row in rows)) == (2, spent)
    assert spent > 0


def test_a_configuration_that_cannot_be_asked_is_told(tmp_path: Path) -> None:
    order = search_order(tmp_path, tenant="nobody")
    with pytest.raises(TargetFailure, match="no tenant 'nobody'"), open_line(route_target(order), order, cap=None):
        pass
