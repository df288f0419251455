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
from router.assembly import Assembly
from router.replay import replay_events, replay_whole

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


def assemble(chunks: Iterable[dict[str, Any]], endpoint: Endpoint) -> tuple[dict[str, Any], tuple[int, ...]]:
    assembly = Assembly(endpoint)
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.answer()


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
