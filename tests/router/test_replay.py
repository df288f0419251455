"""Replays say what was stored, in OpenAI's forms, and a replay put together again is what was stored."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from contracts.records import Endpoint, StoredAnswer
from contracts.sse import payloads
from router.replay import assemble, replay_events, replay_whole, text_of

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
FRAME = {"id": "chatcmpl-old", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": None}


def stored(data: dict[str, Any], pieces: Iterable[int] = (), usage: Any = USAGE) -> StoredAnswer:
    return StoredAnswer(body=orjson.dumps(data), pieces=tuple(pieces), model="m", usage=usage, cost=Decimal(0))


def chat(content: Any, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    return {
        **FRAME,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", **choice}],
        "usage": USAGE,
    }


def chunks_of(
    answer: StoredAnswer, endpoint: Endpoint = "chat/completions", usage: bool = False
) -> list[dict[str, Any]]:
    events = b"".join(replay_events(answer, endpoint, reply_id="new", created=7, usage=usage))
    *chunks, done = payloads(events)
    assert done == b"[DONE]"
    return [orjson.loads(chunk) for chunk in chunks]


def contents(chunks: list[dict[str, Any]]) -> list[str]:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


def test_whole_replay_is_the_stored_answer_under_a_new_id() -> None:
    data = chat("Hello", x_vendor={"a": [1]})
    again = orjson.loads(replay_whole(stored(data), reply_id="new", created=7))
    assert again == {**data, "id": "chatcmpl-new", "created": 7}
    assert ChatCompletion.model_validate(again, strict=True).choices[0].message.content == "Hello"


def test_reported_usage_is_the_stored_one() -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 3}}
    answer = stored({**chat("Hello"), "usage": None}, usage=usage)
    assert orjson.loads(replay_whole(answer, reply_id="n", created=7))["usage"] == usage
    assert chunks_of(answer, usage=True)[-1]["usage"] == usage


def test_embeddings_come_back_untouched() -> None:
    data = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -2.0]}],
        "model": "e",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    again = orjson.loads(replay_whole(stored(data, usage=None), reply_id="new", created=7))
    assert again == data
    CreateEmbeddingResponse.model_validate(again, strict=True)


def test_stream_has_a_role_the_stored_pieces_and_an_end() -> None:
    chunks = chunks_of(stored(chat("Hello there"), pieces=(2, 3, 6)))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "He"},
        {"content": "llo"},
        {"content": " there"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks} == {("chatcmpl-new", 7, "m")}
    assert all("usage" not in chunk for chunk in chunks)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


@pytest.mark.parametrize("pieces", [(), (4, 4), (99,)], ids=["came whole", "too short", "too long"])
def test_without_fitting_pieces_a_text_comes_in_words(pieces: tuple[int, ...]) -> None:
    assert contents(chunks_of(stored(chat("Reset it  in\nsettings. "), pieces))) == [
        "Reset",
        " it",
        "  in",
        "\nsettings.",
        " ",
    ]


def test_a_text_without_spaces_still_comes_in_pieces() -> None:
    pieces = contents(chunks_of(stored(chat("好" * 100))))
    assert len(pieces) > 3
    assert "".join(pieces) == "好" * 100


def test_usage_comes_last_without_choices_and_is_null_before() -> None:
    *chunks, last = chunks_of(stored(chat("Hello")), usage=True)
    assert last["choices"] == []
    assert last["usage"] == USAGE
    assert all(chunk["usage"] is None for chunk in chunks)
    assert ChatCompletionChunk.model_validate(last, strict=True).usage.total_tokens == 13


def test_usage_that_nobody_knows_is_not_promised() -> None:
    chunks = chunks_of(stored({**chat("Hello"), "usage": None}, usage=None), usage=True)
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}


def test_logprobs_go_with_the_piece_in_which_their_token_ends() -> None:
    tokens = [token(text) for text in ("He", "llo the", "re")]
    answer = stored(chat("Hello there", logprobs={"content": tokens, "refusal": None}), pieces=(2, 4, 5))
    chunks = chunks_of(answer)
    shares = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert shares[0] is None
    assert [share["content"] for share in shares[1:]] == [tokens[:1], [], tokens[1:], None]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_a_completion_streams_as_a_completion() -> None:
    logprobs = {"tokens": ["a ", "b"], "token_logprobs": [-1.0, -2.0], "top_logprobs": None, "text_offset": [0, 2]}
    choice = {"index": 0, "text": "a b", "logprobs": logprobs, "finish_reason": "stop"}
    data = {"id": "cmpl-old", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    chunks = chunks_of(stored({**data, "usage": USAGE}, pieces=(2, 1)), "completions", usage=True)
    assert [chunk["choices"][0]["text"] for chunk in chunks[:-1]] == ["a ", "b", ""]
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks[:-1]] == [[0], [2], None]
    assert {chunk["id"] for chunk in chunks} == {"cmpl-new"}
    for chunk in chunks[:-1]:
        Completion.model_validate({**chunk, "choices": [{**chunk["choices"][0], "finish_reason": "stop"}]})
    assert assemble(chunks, "completions")[0] == {**data, "usage": USAGE, "id": "cmpl-new", "created": 7}


def delta(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def test_assembled_tool_calls_are_merged_by_index() -> None:
    data, pieces = assemble(
        [
            delta(role="assistant", content=None),
            delta(
                tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]
            ),
            delta(
                tool_calls=[
                    {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}
                ]
            ),
            delta(tool_calls=[{"index": 0, "type": "function", "function": {"name": "f", "arguments": '{"x"'}}]),
            delta(tool_calls=[{"index": 1, "id": "", "function": {"arguments": "}"}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
            delta(finish="tool_calls"),
        ],
        "chat/completions",
    )
    message = data["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert message["content"] is None
    assert pieces == ()
    assert ChatCompletion.model_validate(data, strict=True).choices[0].finish_reason == "tool_calls"
    assert text_of(data) == 'f{"x":1}g{}'


def test_assembled_choices_stand_in_order_and_keep_their_texts_apart() -> None:
    data, pieces = assemble(
        [
            delta(1, role="assistant", content="b"),
            delta(0, role="assistant", content="a"),
            delta(1, content="B", reasoning_content="r"),
            delta(0, "stop", content="A"),
            delta(1, "length"),
            {"choices": [], "usage": USAGE, "obfuscation": "xyz"},
        ],
        "chat/completions",
    )
    assert [choice["message"]["content"] for choice in data["choices"]] == ["aA", "bB"]
    assert [choice["finish_reason"] for choice in data["choices"]] == ["stop", "length"]
    assert data["choices"][1]["message"]["reasoning_content"] == "r"
    assert data["usage"] == USAGE
    assert "obfuscation" not in data
    assert pieces == ()
    assert text_of(data) == "aArbB"


def test_a_choice_that_never_ended_says_so() -> None:
    data, _ = assemble([delta(role="assistant", content="a")], "chat/completions")
    assert data["choices"][0]["finish_reason"] is None


def test_repeated_verdicts_of_a_filter_are_not_joined() -> None:
    verdict = {"hate": {"filtered": False, "severity": "safe"}}
    chunks = [delta(content="a"), delta(content="b")]
    for chunk in chunks:
        chunk["choices"][0]["content_filter_results"] = verdict
    assert assemble(chunks, "chat/completions")[0]["choices"][0]["content_filter_results"] == verdict


def test_a_null_may_be_followed_by_an_object() -> None:
    first, second = delta(content="a"), delta(content="b")
    first["choices"][0]["logprobs"] = None
    second["choices"][0]["logprobs"] = {"content": [token("b")], "refusal": None}
    data, _ = assemble([first, second], "chat/completions")
    assert data["choices"][0]["logprobs"] == {"content": [token("b")], "refusal": None}


json_garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "text", "content", "tool_calls", "function", "logprobs", "message"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "id"]), json_garbage), max_size=5))
def test_garbage_is_assembled_and_read_without_complaint(chunks: list[dict[str, Any]]) -> None:
    data, _ = assemble(chunks, "chat/completions")
    text_of(data)
    for chunk in chunks:
        text_of(chunk)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
spoken = st.none() | texts


@st.composite
def chat_answers(draw: st.DrawFn) -> StoredAnswer:
    choices = []
    for index in range(draw(st.integers(1, 3))):
        content = draw(spoken)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        for name in draw(st.sets(st.sampled_from(["refusal", "reasoning_content"]))):
            message[name] = draw(spoken)
        if draw(st.booleans()):
            message["tool_calls"] = [
                {"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": draw(texts)}}
                for number in range(draw(st.integers(1, 3)))
            ]
        choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": "stop"}
        if draw(st.booleans()):
            choice["logprobs"] = draw(
                st.none()
                | st.fixed_dictionaries(
                    {"content": st.none() | st.lists(texts.map(token), max_size=5), "refusal": st.none()}
                )
            )
        if draw(st.booleans()):
            choice["x_vendor"] = draw(st.none() | texts | st.lists(st.integers(0, 9)))
        choices.append(choice)
    content = choices[0]["message"]["content"] or ""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(content) - 1))))) if len(content) > 1 else []
    pieces = [end - begin for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return stored({**FRAME, "choices": choices, "usage": USAGE}, pieces)


@given(chat_answers(), st.booleans())
def test_a_replay_put_together_is_the_stored_answer(answer: StoredAnswer, usage: bool) -> None:
    chunks = chunks_of(answer, usage=usage)
    again, pieces = assemble(chunks, "chat/completions")
    expected = {**orjson.loads(answer.body), "id": "chatcmpl-new", "created": 7}
    if not usage:
        del expected["usage"]
    assert again == expected
    content = expected["choices"][0]["message"]["content"]
    if len(expected["choices"]) == 1 and content:
        assert pieces == answer.pieces
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


@given(st.lists(texts, max_size=6), st.booleans())
def test_a_replayed_completion_put_together_is_the_stored_one(tokens: list[str], with_logprobs: bool) -> None:
    logprobs = {
        "tokens": tokens,
        "token_logprobs": [-0.5] * len(tokens),
        "top_logprobs": None,
        "text_offset": [0] * len(tokens),
    }
    choice = {
        "index": 0,
        "text": "".join(tokens),
        "logprobs": logprobs if with_logprobs else None,
        "finish_reason": "stop",
    }
    data = {**FRAME, "object": "text_completion", "choices": [choice], "usage": USAGE}
    chunks = chunks_of(stored(data), "completions", usage=True)
    assert assemble(chunks, "completions")[0] == {**data, "id": "cmpl-new", "created": 7}


def test_a_field_that_is_a_list_only_later_on_does_no_harm() -> None:
    parts = [{"index": 0, "delta": {}, "extra": extra} for extra in (True, ["a"], ["b"])]
    whole, _ = assemble([{"choices": [part]} for part in parts], "chat/completions")
    assert whole["choices"][0]["extra"] == ["a", "b"]
