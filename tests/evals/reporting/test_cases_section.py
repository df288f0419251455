"""The cases of a page: what the data holds, and which are left out of a run that is too large."""

from __future__ import annotations

import json

from msgspec.structs import replace

from evals.cases import Case, Document
from evals.records import Answer, ToolCall
from evals.reporting.cases_section import MOST_BYTES, MOST_CASES, Shown, cases_section
from tests.evals.reporting.runs import answered, cases, failed


def shown(case: Case, value: float, text: str = "") -> Shown:
    return Shown(case=case, sides=[[answered(case, 0, value > 0, text)]], scores={"facts": value}, rank=value)


def section(made: list[Shown]) -> tuple[str, dict[str, object]]:
    return cases_section(made, sides=["answer"], quality="facts", groups=["lang"])


def ids(data: dict[str, object]) -> list[str]:
    held = data["cases"]
    assert isinstance(held, list)
    return [one["id"] for one in held]


def test_a_run_that_fits_is_held_whole_and_in_its_order() -> None:
    made = [shown(case, float(place % 2)) for place, case in enumerate(cases(30))]
    html, data = section(made)
    assert ids(data) == [one.case.id for one in made]
    assert "This page holds" not in html


def test_of_too_many_cases_all_bad_ones_and_a_sample_are_held_and_it_says_so() -> None:
    made = [shown(case, float(place % 100 != 0)) for place, case in enumerate(cases(MOST_CASES + 1_000))]
    html, data = section(made)
    held = ids(data)
    assert len(held) == MOST_CASES
    assert {one.case.id for one in made if not one.rank} <= set(held)
    assert held == sorted(held, key=lambda one: int(one[1:]))
    assert int(held[-1][1:]) > MOST_CASES  # not only the first ones
    assert f"This page holds {MOST_CASES:,} of {MOST_CASES + 1_000:,} cases" in html
    assert ids(section(made)[1]) == held


def test_of_too_much_text_so_much_is_held_as_a_browser_bears() -> None:
    long = "word " * 200_000
    html, data = section([shown(case, float(place > 2), long) for place, case in enumerate(cases(30))])
    assert len(json.dumps(data)) <= MOST_BYTES + 1_000
    assert {"c0", "c1", "c2"} <= set(ids(data))
    assert "This page holds" in html


def test_tool_calls_parts_passages_and_failures_are_in_the_data() -> None:
    case = Case(
        id="c1",
        messages=(
            {"role": "system", "content": None, "tool_calls": [{"id": "x"}]},
            {"role": "user", "content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {}}]},
        ),
        expected={"tool": {"name": "refund"}, "facts": ["a", "b"]},
        segment="s",
        cluster="c",
        metadata={},
        documents=(Document("d1", "A passage."),),
    )
    called = replace(answered(case, 0, True), answer=Answer(tool_calls=(ToolCall("refund", '{"id": 1}'),)))
    made = Shown(case=case, sides=[[called, failed(case, 1)]], scores={"facts": 0.5}, rank=-1.0)
    _, data = section([made])
    held = data["cases"]
    assert isinstance(held, list)
    (one,) = held
    assert one["turns"] == [["system", '{"id": "x"}'], ["user", "See:\n[image_url]"]]
    assert one["expected"] == 'tool: {"name": "refund"}\nfacts: a; b'
    assert one["documents"] == [["d1", "A passage."]]
    answer, failure = one["sides"][0]
    assert answer["text"] == 'refund({"id": 1})'
    assert failure["error"] == "timeout: no answer within 60 s"
    assert one["failed"] is True


def test_lines_stay_and_other_control_characters_go() -> None:
    case = cases(1)[0]
    _, data = section([shown(case, 1.0, "one\r\ntwo\tthree\x1b[31m")])
    held = data["cases"]
    assert isinstance(held, list)
    assert held[0]["sides"][0][0]["text"] == "one\ntwo    three\ufffd[31m"


def test_controls_offer_the_segments_and_the_groups_there_are() -> None:
    html, _ = section([shown(case, 1.0) for case in cases(8)])
    for text in ("refunds", "delivery", "accounts", "lang: en", "lang: es"):
        assert f">{text}</option>" in html
