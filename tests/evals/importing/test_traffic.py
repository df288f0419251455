"""Traffic that becomes a suite: each question once, without names, by intent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from evals.importing.draft import Draft, Unusable, write
from evals.importing.lines import Reading, Request
from evals.importing.traffic import Stratum, Wanted, draft_of

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

MEANINGS = {"reset": 0, "forgot": 10, "password": 30, "ship": 90, "refund": 180}
"""Degrees on a circle: ten are a cosine of .98, thirty .87."""


def encode(texts: Sequence[str]) -> Vectors:
    degrees = [next((at for word, at in MEANINGS.items() if word in text.lower()), 270) for text in texts]
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def asked(text: str, conversation: str, **more: Any) -> Request:
    said = {"tenant": "acme", "turn": 1, "route": "support", "answer": "So.", "intent": "a", "day": "2026-10-05"}
    return Request(
        **{"conversation": conversation, "messages": [{"role": "user", "content": text}], **said, **more}
    )


def drafted(*requests: Request, **wanted: Any) -> tuple[Draft, list[Stratum]]:
    return draft_of(Reading(requests=list(requests)), Wanted(**wanted), encode, name="t")


def questions(draft: Draft) -> set[str]:
    return {case.question for case in draft.cases}


def test_what_means_the_same_is_asked_once_and_counted() -> None:
    draft, _ = drafted(
        asked("reset it", "1"),
        asked("I forgot it", "2", day="2026-10-06"),
        asked("Reset it!", "3"),
        asked("ship", "4"),
    )
    times = {case.question: case.metadata["times"] for case in draft.cases}
    assert sorted(times.values()) == [1, 3]
    assert times["ship"] == 1


def test_numbers_denials_tenants_routes_and_instructions_keep_questions_apart() -> None:
    told = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "reset 2 of them"}]
    draft, _ = drafted(
        asked("reset 2 of them", "1"),
        asked("reset 3 of them", "2"),
        asked("don't reset 2 of them", "3"),
        asked("reset 2 of them", "4", tenant="globex"),
        asked("reset 2 of them", "5", route="auto"),
        asked("", "6", messages=told),
    )
    assert len(draft.cases) == 6


def test_what_resembles_each_other_shares_a_cluster() -> None:
    draft, _ = drafted(asked("reset it", "1"), asked("my password", "2"), asked("ship it", "3"))
    clusters = {case.question: case.cluster for case in draft.cases}
    assert clusters["reset it"] == clusters["my password"] != clusters["ship it"]


def test_one_case_of_each_conversation_and_one_that_has_an_answer() -> None:
    turns = [asked("reset it", "1", answer=""), asked("ship it", "1", turn=2), asked("refund it", "1", turn=3)]
    for seed in range(5):
        draft, _ = drafted(*turns, seed=seed)
        assert len(draft.cases) == 1
        assert draft.cases[0].expected == {"reference": "So."}


def test_an_answer_to_the_same_words_is_an_answer() -> None:
    draft, _ = drafted(asked("ship it", "1", answer=""), asked("ship it", "2"), asked("refund it", "2", turn=2))
    assert "ship it" in questions(draft)


def test_what_was_never_answered_needs_a_judge() -> None:
    requests = [asked("reset it", "1", answer=""), asked("ship it", "2")]
    draft, strata = drafted(*requests)
    assert questions(draft) == {"ship it"}
    assert strata == [Stratum(intent="a", asked=2, kept=1, drawn=1)]
    assert "1 of 2 questions were left out" in "".join(draft.notes)
    judged, _ = drafted(*requests, judge="gpt-5.1")
    assert questions(judged) == {"reset it", "ship it"}
    assert [scorer["kind"] for scorer in judged.scorers] == ["judge", "similarity"]
    assert judged.quality == "judge"
    with pytest.raises(Unusable, match="--judge"):
        drafted(requests[0])
    with pytest.raises(Unusable, match="learning"):
        drafted()


def test_nothing_that_tells_who_it_was_is_left() -> None:
    request = asked(
        "I'm Ana Pérez, refund order 4711 to ana@mail.example",
        "session-of-ana",
        answer="Done, Ana: mail to ana@mail.example.",
        intent="refund for 536-90-4399",
    )
    draft, _ = drafted(request)
    written = orjson.dumps([draft.cases[0].messages, draft.cases[0].expected, draft.cases[0].metadata]).decode()
    told = written + orjson.dumps(draft.lineage).decode() + draft.cases[0].segment
    for secret in ("Ana", "ana@", "4711", "536-90", "session"):
        assert secret not in told
    assert draft.cases[0].expected == {"reference": "Done, <NAME_1>: mail to <EMAIL_1>."}
    assert draft.lineage["hidden"] == {"EMAIL": 2, "ID": 1, "NAME": 2, "NUMBER": 1}


def test_orders_that_differ_in_a_hidden_number_alone_are_one_question() -> None:
    draft, _ = drafted(asked("ship order 4711", "1"), asked("ship order 4712", "2"))
    assert [case.metadata["times"] for case in draft.cases] == [2]


def test_cases_are_dealt_to_intents_and_the_seed_draws_them() -> None:
    requests = [asked(f"ship {number}", str(number), intent="often") for number in range(100)]
    requests += [asked(f"refund {number}", f"r{number}", intent="seldom") for number in range(5)]
    draft, strata = drafted(*requests, cases=10, least=2)
    assert [(one.intent, one.drawn) for one in strata] == [("often", 8), ("seldom", 2)]
    again, _ = drafted(*reversed(requests), cases=10, least=2)
    other, _ = drafted(*requests, cases=10, least=2, seed=1)
    assert again.cases == draft.cases
    assert questions(other) != questions(draft)


def test_the_suite_is_written_with_its_lineage_and_the_same_bytes(tmp_path: Path) -> None:
    requests = [asked("reset it", "1", lang="en"), asked("ship it ñ\u2028", "2", lang="es")]
    for name in ("one", "two"):
        suite = write(tmp_path / name, drafted(*requests)[0])
    assert suite.quality == "similarity"
    assert suite.groups == ("lang",)
    assert {case.question for case in suite.cases} == {"reset it", "ship it ñ\u2028"}
    for file in ("suite.yaml", "cases.jsonl", "import.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    lineage = orjson.loads((tmp_path / "one/import.json").read_bytes())
    assert lineage["suite_version"] == suite.version
    assert lineage["counts"]["cases"] == 2
    assert suite.cases[0].metadata["reviewed"] is False


def test_without_an_encoder_only_equal_questions_are_one() -> None:
    reading = Reading(requests=[asked("Reset it", "1"), asked("reset it!", "2"), asked("forgot it", "3")])
    draft, _ = draft_of(reading, Wanted(), None, name="t")
    assert sorted(case.metadata["times"] for case in draft.cases) == [1, 2]
    assert len({case.cluster for case in draft.cases}) == 2
    assert "no encoder" in "".join(draft.notes)


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    reading = Reading(requests=[asked("reset it", "1"), asked("ship it", "2")])
    draft_of(reading, Wanted(), encode, name="t", step=lambda *said: told.append(said))
    assert told == [("hiding who asked", 1, 2), ("hiding who asked", 2, 2), ("encoding", 2, 2), ("comparing", 2, 2)]
