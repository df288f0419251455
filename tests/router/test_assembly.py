"""The chunks of a stream as one answer, whatever they hold; with `test_replay`, there and back again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from router.assembly import Assembly
from router.replay import text_of

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def assemble(chunks: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], tuple[int, ...]]:
    assembly = Assembly("chat/completions")
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.answer()


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}


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
        ]
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
        ]
    )
    assert [choice["message"]["content"] for choice in data["choices"]] == ["aA", "bB"]
    assert [choice["finish_reason"] for choice in data["choices"]] == ["stop", "length"]
    assert data["choices"][1]["message"]["reasoning_content"] == "r"
    assert data["usage"] == USAGE
    assert "obfuscation" not in data
    assert pieces == ()
    assert text_of(data) == "aArbB"


def test_a_choice_that_never_ended_says_so() -> None:
    data, _ = assemble([delta(role="assistant", content="a")])
    assert data["choices"][0]["finish_reason"] is None


def test_repeated_verdicts_of_a_filter_are_not_joined() -> None:
    verdict = {"hate": {"filtered": False, "severity": "safe"}}
    chunks = [delta(content="a"), delta(content="b")]
    for chunk in chunks:
        chunk["choices"][0]["content_filter_results"] = verdict
    assert assemble(chunks)[0]["choices"][0]["content_filter_results"] == verdict


def test_a_null_may_be_followed_by_an_object() -> None:
    first, second = delta(content="a"), delta(content="b")
    first["choices"][0]["logprobs"] = None
    second["choices"][0]["logprobs"] = {"content": [token("b")], "refusal": None}
    data, _ = assemble([first, second])
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
    data, _ = assemble(chunks)
    text_of(data)
    for chunk in chunks:
        text_of(chunk)


def test_a_field_that_is_a_list_only_later_on_does_no_harm() -> None:
    parts = [{"index": 0, "delta": {}, "extra": extra} for extra in (True, ["a"], ["b"])]
    whole, _ = assemble([{"choices": [part]} for part in parts])
    assert whole["choices"][0]["extra"] == ["a", "b"]


def test_text_is_the_same_however_much_comes_with_it() -> None:
    """Most pieces hold nothing but text, and take a shorter way."""
    said = ["a", "", "b", "c", "d", "e"]
    plain = [delta(role="assistant", content=""), *(delta(content=text) for text in said), delta(finish="stop")]
    mixed = [chunk | {"choices": [{**chunk["choices"][0], "logprobs": None}]} for chunk in plain]
    mixed[3]["choices"][0]["logprobs"] = {"content": [token("b")]}
    mixed[5]["choices"][0]["delta"]["refusal"] = None
    for chunks in (plain, mixed):
        data, pieces = assemble(chunks)
        assert data["choices"][0]["message"]["content"] == "abcde"
        assert data["choices"][0]["finish_reason"] == "stop"
        assert pieces == (1, 1, 1, 1, 1)
    assert assemble(mixed)[0]["choices"][0]["logprobs"] == {"content": [token("b")]}


def test_choices_that_speak_in_turn_are_not_mixed_up() -> None:
    chunks = [delta(index, content=f"{index}{word}") for word in "abc" for index in (0, 1)]
    data, _ = assemble(chunks)
    assert [choice["message"]["content"] for choice in data["choices"]] == ["0a0b0c", "1a1b1c"]
