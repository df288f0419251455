"""What curation keeps is confirmed and apart, and what it drops is counted by reason, to the last request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distill.student.child import StageFailed
from distill.student.curating.curate import CARD, DATA, Curated, curate
from distill.student.curating.data_card import Judging
from distill.student.curating.mined import read_mined
from distill.student.curating.settings import CurateSettings
from distill.student.curating.unknown import UNKNOWN_FILE, Unknown
from distill.student.examples import TEST, TRAIN, TUNE, Example, read_examples, read_lines
from distill.student.teacher import Teacher, TeacherSettings
from evals.importing.alike import plain
from evals.records import Answer
from evals.suite import Suite, read_suite
from tests.distill.student.curated import ANSWERS, encode, request, usual, write_mined
from tests.distill.student.judge_bench import Bench
from tests.evals.runner.plain import PlainTarget, write_suite

PARTS = (TRAIN, TUNE, TEST)


def unknown_in(folder: Path) -> list[Unknown]:
    return list(read_lines(folder / UNKNOWN_FILE, Unknown))


def curated(folder: Path, requests: list[dict[str, Any]], **how: Any) -> Curated:
    options: dict[str, Any] = {"teacher": None, "suite": None, "judge": None, "tell": lambda *_: None}
    options |= {name: how.pop(name) for name in list(how) if name in options}
    out = folder / "curate"
    out.mkdir(exist_ok=True)
    mined = write_mined(folder / "mine", requests)
    return curate(mined, CurateSettings(**how), encode=encode, folder=out, **options)


def examples(of: Curated) -> list[Example]:
    return [one for part in PARTS for one in read_examples(of.folder / part)]


def teacher(folder: Path, cap: str = "5") -> tuple[Teacher, PlainTarget]:
    def reply(question: str, _: int) -> Answer:
        intent = question.split()[0]
        return Answer(
            text=ANSWERS.get(intent, f"Nothing about {intent}."), cost=Decimal("0.01"), completion_tokens=9
        )

    target = PlainTarget(reply, takes_s=0.0)
    asking = TeacherSettings(model="large", cap_usd=Decimal(cap), max_tokens=20, concurrency=1)
    return Teacher(target, asking, folder / "teacher"), target


def suite_of(folder: Path, *cases: dict[str, Any]) -> Suite:
    return read_suite(write_suite(folder / "suite", cases))


def case(name: str, question: str, segment: str = "parcel", **changes: Any) -> dict[str, Any]:
    return {"id": name, "input": question, "expected": {"facts": ["two"]}, "segment": segment, **changes}


def dropped(of: Curated) -> dict[str, int]:
    assert of.facts.read == of.facts.kept + sum(of.facts.dropped.values())
    return dict(of.facts.dropped)


def test_the_parts_hold_what_was_asked_and_answered(tmp_path: Path) -> None:
    done = curated(tmp_path, [*usual(10), request(90, "parcel A please", "parcel")])
    assert dropped(done) == {}
    assert {one.answer for one in examples(done)} == {ANSWERS["parcel"], ANSWERS["refund"]}
    assert sum(one.weight for one in examples(done)) == 21
    assert {one.weight for one in examples(done) if one.question == "parcel a"} == {2.0}
    assert Counter(one.intent for one in examples(done)) == {"parcel": 10, "refund": 10}
    unknown = unknown_in(done.folder)
    assert {one.intent for one in unknown} == {"weather"}
    assert {one.part for one in unknown} == {"train", "tune", "test"}
    card = (done.folder / CARD).read_text()
    assert "| parcel | " in card
    assert "31 requests from 2026-10-01 to 2026-10-01; 31 (100.0%)" in card
    before = [(done.folder / name).read_bytes() for name in (*PARTS, UNKNOWN_FILE, DATA, CARD)]
    again = curated(tmp_path, [request(90, "parcel A please", "parcel"), *reversed(usual(10))])
    assert [(again.folder / name).read_bytes() for name in (*PARTS, UNKNOWN_FILE, CARD)] == [
        *before[:4],
        before[5].replace(
            done.facts.files["requests.jsonl"].encode(), again.facts.files["requests.jsonl"].encode()
        ),
    ]


def test_what_may_not_be_learned_is_dropped_by_reason(tmp_path: Path) -> None:
    later = request(80, "parcel z", "parcel", turn=2)
    done = curated(
        tmp_path,
        [
            *usual(8),
            later,
            request(81, " ", "parcel"),
            request(82, "parcel for jo@example.org", "parcel"),
            request(83, "parcel lost", "parcel", answer=""),
            request(84, "parcel torn", "parcel", answer="Write to <EMAIL_1>."),
            request(85, "parcel late", "parcel", answer="Call Jo at jo@example.org."),
            request(86, "parcel wet", "parcel", score=0.2),
            request(87, "parcel void", "parcel", answer="so " * 40),
            request(88, "parcel here", "parcel", answer=ANSWERS["refund"]),
            request(89, "parcel a", "parcel", answer=ANSWERS["weather"]),
        ],
    )
    assert dropped(done) == {
        "a later turn of its conversation": 1,
        "without a question in text": 1,
        "personal data that mining had not hidden": 1,
        "without a good answer": 5,
        "an answer like few others of its intent": 1,
        "answered otherwise than most who asked the same": 1,
    }
    assert done.facts.failed == {
        "an answer from which personal data was taken out": 1,
        "an answer with personal data": 1,
        "an answer that is going in circles": 1,
        "feedback below the least score": 1,
    }
    assert done.facts.found == {"EMAIL": 1}
    kept = curated(
        tmp_path,
        [*usual(8), request(85, "parcel late", "parcel", answer="Help: jo@example.org.", score=1)],
        keep=("jo@example.org",),
    )
    assert dropped(kept) == {}
    assert kept.facts.confirmed == {"feedback": 1, "like others of its intent": 16}


def test_what_is_no_good_to_learn_from_is_tested_with_all_the_same(tmp_path: Path) -> None:
    odd = [
        request(
            100 + n, f"parcel {n} {n}", "parcel", answer=" ".join(f"{word}{n}" for word in ("ask", "go", "look"))
        )
        for n in range(6)
    ]
    done = curated(tmp_path, [*usual(12), *odd], tune=0.3, test=0.3)
    kept = {part: [one for one in read_examples(done.folder / part) if one.id >= "r100"] for part in PARTS}
    assert not kept[TRAIN]
    assert kept[TUNE]
    assert kept[TEST]
    left = len(odd) - len(kept[TUNE]) - len(kept[TEST])
    assert dropped(done) == {"an answer like few others of its intent": left}
    assert done.facts.confirmed["unlike others of its intent, not learned"] == len(odd) - left
    assert done.facts.asked == {"parcel": 18, "refund": 12, "weather": 12}
    unknown = unknown_in(done.folder)
    assert {one.answer for one in unknown} == {ANSWERS["weather"]}


def test_who_was_answered_badly_counts_for_a_question_that_was_answered_well(tmp_path: Path) -> None:
    bad = [request(80, "parcel a", "parcel", answer=""), request(81, "a parcel", "parcel", score=0.0)]
    done = curated(tmp_path, [*usual(8), *bad])
    assert dropped(done) == {}
    assert {one.weight for one in examples(done) if one.question == "parcel a"} == {3.0}


def test_a_judge_has_the_last_word_where_nobody_was_content(tmp_path: Path) -> None:
    asked = []

    def says(material: Mapping[str, Any]) -> str:
        asked.append(material["conversation"][-1]["content"])
        return {"parcel a": "NO", "parcel b": "broken"}.get(asked[-1], "YES")

    odd = request(88, "parcel here", "parcel", answer=ANSWERS["refund"])
    judge = Bench(says).judge(tmp_path)
    done = curated(tmp_path, [*usual(4), odd, request(89, "parcel liked", "parcel", score=1.0)], judge=judge)
    assert dropped(done) == {"a judge found the answer bad": 1}
    assert done.facts.confirmed == {"feedback": 1, "judge": 8 - 1, "like others of its intent": 1}
    assert "parcel liked" not in asked
    assert done.facts.judging == Judging(judge="judge", asked=9, told=8, usd=Decimal("0.08"))
    assert "judge was asked whether 9 answers are right and had a verdict on 8" in (done.folder / CARD).read_text()
    assert "had no verdict on 1 answers" in done.facts.limits[-1]


def test_the_teacher_answers_what_nobody_did_the_most_asked_first(tmp_path: Path) -> None:
    without = [{**one, "answer": ""} for one in usual(6)]
    often = [request(90 + n, "refund f", "refund", answer="", conversation=f"d{n}") for n in range(3)]
    one, target = teacher(tmp_path)
    done = curated(tmp_path, [*without, *often], teacher=one)
    assert dropped(done) == {}
    assert next(iter(target.asked)) == "refund f"
    assert set(target.asked.values()) == {1}
    assert len(target.asked) == 12  # nobody is asked about the weather
    assert done.facts.lesson.usd == Decimal("0.12")
    assert done.facts.confirmed == {"teacher": 12}
    before = (done.folder / DATA).read_bytes()
    again, other = teacher(tmp_path)
    assert (curated(tmp_path, [*without, *often], teacher=again).folder / DATA).read_bytes() == before
    assert not other.asked
    poor, _ = teacher(tmp_path / "poor", cap="0.06")
    some = curated(tmp_path, [*without, *often], teacher=poor)
    assert some.facts.lesson.left_out == dropped(some)["without a good answer"] > 0
    anew, target = teacher(tmp_path / "anew")
    assert curated(tmp_path, usual(6), teacher=anew, ask="all").facts.confirmed == {"teacher": 12}


def test_what_a_suite_asks_is_never_learned(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        case("one", "parcel a"),
        case("two", "b please refund", "refund"),
        case("far", "parcel unheard of", "elsewhere"),
        case("near", "c weather", "elsewhere"),
        {"id": "talk", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"},
                                    {"role": "user", "content": "parcel z"}], "expected": {"facts": ["z"]}},
    )  # fmt: skip
    requests = [*usual(8), request(90, "parcel a", "parcel", conversation="other")]
    done = curated(tmp_path, requests, suite=suite)
    assert dropped(done) == {}
    assert done.facts.suite_skipped == {"a case with more turns": 1}
    assert done.facts.beside_cases == 4
    learned = {plain(one.question) for one in read_examples(done.folder / TRAIN)}
    assert learned.isdisjoint({"parcel a", "refund b"})
    of_suite = {one.id: one for one in examples(done) if one.source == "suite"}
    assert set(of_suite) == {"one", "two"}
    assert of_suite["one"].expected == {"facts": ["two"]}
    strange = {one.id: one for one in unknown_in(done.folder) if one.source == "suite"}
    assert {name: one.intent for name, one in strange.items()} == {"far": "unknown", "near": "weather"}
    assert {one.part for one in strange.values()} <= {"tune", "test"}


def test_the_cases_of_a_segment_say_together_which_intent_it_is(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        case("first", "parcel c please", "post"),
        case("second", "parcel d please", "post"),
        case("third", "in no words that are known", "post"),
        case("unnamed", "parcel e please", "all"),
        case("unnamed too", "parcel f please", "all"),
        case("unlike", "in other words", "all"),
    )
    done = curated(tmp_path, usual(8), suite=suite)
    told = {one.id: one.intent for one in examples(done) if one.source == "suite"}
    assert told == dict.fromkeys(("first", "second", "third", "unnamed", "unnamed too"), "parcel")
    assert {one.id for one in unknown_in(done.folder) if one.source == "suite"} == {"unlike"}


def test_an_intent_that_is_asked_too_often_is_bounded_by_its_most_asked(tmp_path: Path) -> None:
    requests = [*usual(10), request(90, "parcel b", "parcel"), request(91, "parcel b please", "parcel")]
    full = read_examples(curated(tmp_path, requests).folder / TRAIN)
    done = curated(tmp_path, requests, most_per_intent=2)
    left = read_examples(done.folder / TRAIN)
    assert Counter(one.intent for one in left) == {"parcel": 2, "refund": 2}
    assert dropped(done) == {"beyond the most of its intent": sum(one.weight for one in full if one not in left)}
    heaviest = max(full, key=lambda one: one.weight)
    assert heaviest in left


def test_nothing_to_learn_and_what_mining_did_not_write_are_refused_with_advice(tmp_path: Path) -> None:
    without = [{**one, "answer": ""} for one in usual(4)]
    with pytest.raises(StageFailed, match=r"8: without a good answer.*name a `teacher`"):
        curated(tmp_path, without)
    with pytest.raises(ValidationError, match="leave nothing to learn from"):
        CurateSettings(tune=0.5, test=0.5)
    mined = write_mined(tmp_path / "mine", usual(1))
    (mined / "requests.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(ValueError, match=r"requests.jsonl:1: .*mine again"):
        read_mined(mined)
    (mined / "intents.json").write_text('{"intents": [{"intent": "parcel", "picked": false}]}')
    (mined / "requests.jsonl").write_text("")
    with pytest.raises(StageFailed, match="Mining picked no intent"):
        curate(
            mined, CurateSettings(), encode=encode, teacher=None, suite=None, folder=tmp_path, tell=lambda *_: None
        )


LINES = st.builds(
    lambda number, words, intent, answer, talk, turn, score: request(
        number, words, intent, answer=answer, conversation=talk, turn=turn, score=score
    ),
    st.integers(0, 999),
    st.lists(st.sampled_from(("parcel", "refund", "please", "two", "a@b.org", "")), max_size=3).map(" ".join),
    st.sampled_from(tuple(ANSWERS)),
    st.sampled_from((*ANSWERS.values(), "", "Write to <EMAIL_1>.")),
    st.sampled_from("abcdef"),
    st.integers(1, 3),
    st.sampled_from((None, 0.0, 1.0)),
)


@given(st.lists(LINES, max_size=20, unique_by=lambda one: one["id"]), st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_every_request_is_kept_or_dropped_for_a_reason(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], turns: int
) -> None:
    solid = [{**one, "id": f"s{one['id']}", "conversation": f"s{one['conversation']}"} for one in usual(5)]
    done = curated(tmp_path_factory.mktemp("curating"), [*solid, *lines], turns=turns, most_per_intent=4)
    dropped(done)
    unknown = unknown_in(done.folder)
    assert sum(one.weight for one in examples(done)) + sum(one.weight for one in unknown) == done.facts.kept
