from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
import pytest

from contracts.usage import TokenUsage
from evals.records import Answer, Citation, ToolCall
from evals.targets.answers import answer_in, request_of
from evals.targets.port import TargetFailure


def bill(model: str, usage: TokenUsage) -> Decimal | None:
    return Decimal(usage.prompt + usage.completion) if model == "m-1" else None


def read(data: Any, headers: Mapping[str, str] | None = None) -> Answer:
    body = data if isinstance(data, bytes) else orjson.dumps(data)
    return answer_in(body, headers or {}, model="m", bill=bill, latency_ms=1.23456)


def whole(message: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}], **more}


def test_an_answer_is_read_whole() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    assert read(whole({"content": "Hi"}, usage=usage)) == Answer(
        text="Hi",
        finish="stop",
        model="m-1",
        prompt_tokens=3,
        completion_tokens=4,
        cost=Decimal(7),
        latency_ms=1.235,
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({}, ""),
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}, 3]}, "ab"),
        ({"content": {"text": "odd"}}, ""),
    ],
)
def test_a_text_is_found_in_each_of_its_forms(message: Mapping[str, Any], text: str) -> None:
    assert read(whole(message)).text == text


def test_tool_calls_keep_what_the_model_wrote() -> None:
    calls = [
        {"function": {"name": "find", "arguments": '{"a": 1'}},
        {"function": {"name": "keep", "arguments": {"a": "é"}}},
        {"function": None},
    ]
    found = read(whole({"content": None, "tool_calls": calls})).tool_calls
    assert found == (ToolCall("find", '{"a": 1'), ToolCall("keep", '{"a": "é"}'))
    assert read(whole({"function_call": {"name": "old", "arguments": "{}"}})).tool_calls == (ToolCall("old", "{}"),)


def test_a_weir_says_what_answered_what_it_cost_and_why() -> None:
    headers = {"x-weir-model": "large", "x-weir-cost": "0.25", "x-weir-cache": "miss", "date": "today"}
    answer = read(whole({"content": "Hi"}, usage={"prompt_tokens": 1, "completion_tokens": 1}), headers)
    assert (answer.model, answer.cost) == ("large", Decimal("0.25"))
    assert answer.evidence == {"cache": "miss", "upstream": "m-1"}


@pytest.mark.parametrize("cost", ["", "free", "-1", "NaN"])
def test_a_cost_that_is_none_is_not_believed(cost: str) -> None:
    assert read(whole({"content": "Hi"}), {"x-weir-cost": cost}).cost is None


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -1, "completion_tokens": 2}, "3"])
def test_without_believable_usage_the_cost_is_not_known(usage: Any) -> None:
    answer = read(whole({"content": "Hi"}, usage=usage))
    assert (answer.cost, answer.prompt_tokens) == (None, 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"<!doctype html>", b'{"choices": [{"mess', b"3", b"null", b"[]", b"{}", b'{"choices": []}',
     b'{"choices": 3}', b'{"choices": [{"text": "old"}]}', b'{"choices": [{"message": "x"}]}'],
)  # fmt: skip
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(TargetFailure) as caught:
        read(body)
    assert (caught.value.code, caught.value.retryable, caught.value.fatal) == ("malformed", True, False)


@pytest.mark.parametrize(("body", "told"), [(b"<!doctype html>", "base URL"), (b'\ndata: {"id": 1}', "a stream")])
def test_what_came_in_place_of_an_answer_is_named(body: bytes, told: str) -> None:
    with pytest.raises(TargetFailure, match=told):
        read(body)


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(TargetFailure, match="Slow down") as caught:
        read({"error": {"message": "Slow down.", "code": 429}})
    assert (caught.value.retryable, caught.value.slow_down) == (True, True)


def test_a_request_is_never_streamed() -> None:
    body = {"messages": [], "stream": True, "stream_options": {}, "temperature": 0}
    assert request_of(body, "m") == {"messages": [], "temperature": 0, "model": "m"}


def test_citations_are_read_once_for_each_mark() -> None:
    def note(text: str, file: str, **more: Any) -> dict[str, Any]:
        cited = {"filename": file, "file_id": f"file-{file}", "quote": "Said.", **more}
        return {"type": "file_citation", "text": text, "start_index": 0, "file_citation": cited}

    notes = [
        note("[1, 3]", "a.md", number=1),
        note("[1, 3]", "c.md", number=3),
        note("[1]", "a.md", number=1),
        note("[2]", "b.md"),
        note("【4:0†source】", "d.md"),
        {"type": "url_citation", "url_citation": {"url": "https://x.example"}},
        {"type": "file_citation", "file_citation": None},
        "odd",
    ]
    assert read(whole({"content": "Hi", "annotations": notes})).citations == (
        Citation(mark="1", filename="a.md", file_id="file-a.md", text="Said."),
        Citation(mark="3", filename="c.md", file_id="file-c.md", text="Said."),
        Citation(mark="2", filename="b.md", file_id="file-b.md", text="Said."),
        Citation(mark="4:0†source", filename="d.md", file_id="file-d.md", text="Said."),
    )
    assert read(whole({"content": "Hi", "annotations": None})).citations == ()
