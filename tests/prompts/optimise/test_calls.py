from __future__ import annotations

import resource
import stat
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evals.records import Answer, ToolCall
from prompts.optimise.calls import FILE, Calls, SearchRefused, open_calls

SEARCH: Mapping[str, Any] = {"the route": "support", "the seed": 3, "its models": {"large": ["hosted", "gpt"]}}
BODY = {"messages": [{"role": "user", "content": "Hi"}]}
ANSWER = Answer(
    text="Hello\nyou", tool_calls=(ToolCall("f", "{}"),), completion_tokens=3, cost=Decimal("0.10"), latency_ms=1.5
)


def paid(calls: Calls, body: Mapping[str, Any] = BODY, cost: str = "0.1") -> str:
    key = calls.key("task", body)
    calls.sent(key, Decimal(2))
    calls.answered(key, ANSWER, Decimal(cost))
    return key


def test_what_was_answered_is_known_when_the_search_goes_on(tmp_path: Path) -> None:
    with open_calls(tmp_path / "search", SEARCH) as calls:
        assert calls.answer(calls.key("task", BODY)) is None
        first = paid(calls)
    with open_calls(tmp_path / "search", SEARCH) as calls:
        calls.key("task", BODY)
        assert (calls.key("task", BODY), calls.answer(first)) == (first, ANSWER)
        assert calls.spent == Decimal("0.1")


def test_a_call_is_its_content_and_how_often_it_was_asked(tmp_path: Path) -> None:
    warm = {**BODY, "temperature": 1.0}
    with open_calls(tmp_path, SEARCH) as calls:
        asked = [
            calls.key("task", BODY),
            calls.key("task", BODY),
            calls.key("task", warm),
            calls.key("task", BODY, "large"),
            calls.key("judge", BODY, "large"),
        ]
    assert len({*asked}) == 5
    with open_calls(tmp_path, SEARCH) as calls:
        assert calls.key("judge", BODY, "large") == asked[4]
        assert [calls.key("task", BODY), calls.key("task", BODY)] == asked[:2]


@pytest.mark.parametrize(("doubted", "spent"), [(None, "2.1"), (True, "2.1"), (False, "0.1")])
def test_what_may_have_been_paid_counts_as_it_was_set_aside(
    tmp_path: Path, doubted: bool | None, spent: str
) -> None:
    with open_calls(tmp_path, SEARCH) as calls:
        paid(calls)
        key = calls.key("task", {"messages": []})
        calls.sent(key, Decimal(2))
        if doubted is not None:
            calls.failed(key, paid=doubted)
            assert calls.spent == Decimal(spent)
    for _ in range(2):
        with open_calls(tmp_path, SEARCH) as calls:
            assert calls.spent == Decimal(spent)
            assert calls.answer(key) is None


def test_a_call_that_was_lost_and_asked_again_counts_twice(tmp_path: Path) -> None:
    with open_calls(tmp_path, SEARCH) as calls:
        calls.sent(calls.key("task", BODY), Decimal(2))
    with open_calls(tmp_path, SEARCH) as calls:
        paid(calls)
        assert calls.spent == Decimal("2.1")
    with open_calls(tmp_path, SEARCH) as calls:
        assert calls.spent == Decimal("2.1")


def test_wherever_a_process_was_killed_the_rest_is_read(tmp_path: Path) -> None:
    with open_calls(tmp_path, SEARCH) as calls:
        keys = [paid(calls), paid(calls)]
    data = (tmp_path / FILE).read_bytes()
    ends = [place + 1 for place, letter in enumerate(data) if letter == ord("\n")]  # head, sent, answered, twice
    spent = [Decimal(figure) for figure in ("0", "0", "2", "0.1", "2.1", "0.2")]
    for end in range(len(data) + 1):
        (tmp_path / FILE).write_bytes(data[:end])
        lines = sum(end >= one for one in ends)
        with open_calls(tmp_path, SEARCH) as calls:
            assert [bool(calls.answer(key)) for key in keys] == [lines >= 3, lines >= 5]
            assert calls.spent == spent[lines]
            paid(calls)
        with open_calls(tmp_path, SEARCH) as calls:
            assert calls.spent == spent[lines] + Decimal("0.1")


@pytest.mark.parametrize(
    "other",
    [
        {**SEARCH, "the seed": 4},
        {**SEARCH, "the tenant": "acme"},
        {"the seed": 3, "its models": SEARCH["its models"]},
    ],
)
def test_another_search_is_refused_and_told_apart(tmp_path: Path, other: Mapping[str, Any]) -> None:
    with open_calls(tmp_path, SEARCH) as calls:
        paid(calls)
    before = (tmp_path / FILE).read_bytes()
    with (
        pytest.raises(SearchRefused, match=r"differs in the \w+\. Give another --out"),
        open_calls(tmp_path, other),
    ):
        pass
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("line", [b"{}\n", b"nothing\n", b"[]\n", b'{"sent": "x", "aside": "y"}\n'])
def test_a_damaged_record_is_refused(tmp_path: Path, line: bytes) -> None:
    with open_calls(tmp_path, SEARCH):
        pass
    with (tmp_path / FILE).open("ab") as file:
        file.write(line)
    with pytest.raises(SearchRefused, match="damaged"), open_calls(tmp_path, SEARCH):
        pass


def test_one_search_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    with (
        open_calls(tmp_path, SEARCH),
        pytest.raises(SearchRefused, match="Another search is writing"),
        open_calls(tmp_path, SEARCH),
    ):
        pass


def test_the_record_is_its_owners_alone(tmp_path: Path) -> None:
    with open_calls(tmp_path / "new", SEARCH):
        assert stat.S_IMODE((tmp_path / "new" / FILE).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_line_that_a_full_disk_cut_off_spoils_none_that_is_written_when_it_has_room_again(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_calls(tmp_path, SEARCH) as calls:
        key = calls.key("task", {"messages": []})
        calls.sent(key, Decimal(2))
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / FILE).stat().st_size + 20, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                calls.answered(key, ANSWER, Decimal("0.1"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        paid(calls)
    with open_calls(tmp_path, SEARCH) as calls:
        assert calls.spent == Decimal("2.1")
