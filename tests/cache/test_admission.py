"""Which requests and answers the cache turns away, and what it says about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.admission import refuse_answer, terms_for
from contracts.ports import CacheRules, CacheTerms
from contracts.request import ModelRequest


def terms(headers: dict[str, str] | None = None, cap: float = 1.0, **fields: Any) -> CacheTerms:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return terms_for(
        ModelRequest("chat/completions", body),
        headers or {},
        CacheRules(max_temperature=cap, live=("today", "my order")),
    )


def test_a_plain_request_is_looked_up_and_kept() -> None:
    assert terms() == CacheTerms(lookup=True, store=True)
    assert terms(temperature=1.0, n=1, tools=[], stream=True) == CacheTerms(lookup=True, store=True)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"n": 2}, "several choices"),
        ({"temperature": 1.01}, "temperature 1.01 is above this route's 1"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "uses tools"),
        ({"functions": [{"name": "f"}]}, "uses tools"),
        ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "c"}]}, "uses tools"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "uses tools"),
    ],
)
def test_requests_that_are_turned_away(fields: dict[str, Any], reason: str) -> None:
    got = terms(**fields)
    assert not got.lookup
    assert not got.store
    assert reason in got.reason


def test_a_request_that_names_no_temperature_is_sampled_at_one() -> None:
    assert not terms(cap=0.5).lookup
    assert terms(cap=0.5, temperature=0.5).lookup
    assert terms(cap=0, temperature=0).lookup


@pytest.mark.parametrize(
    ("headers", "lookup", "store"),
    [
        ({"cache-control": "no-cache"}, False, True),
        ({"cache-control": "max-age=0, No-Cache"}, False, True),
        ({"cache-control": "no-store"}, False, False),
        ({"cache-control": "no-cache, no-store"}, False, False),
        ({"cache-control": "max-age=60"}, True, True),
        ({"cache-control": "x-no-cache-at-all"}, True, True),
        ({"x-weir-cache": "bypass"}, False, False),
        ({"x-weir-cache": " Bypass "}, False, False),
        ({"x-weir-cache": "exact"}, True, True),
        ({"x-weir-cache": "exact", "cache-control": "no-cache"}, False, True),
        ({"x-weir-cache": "bypas"}, False, False),
    ],
)
def test_headers(headers: dict[str, str], lookup: bool, store: bool) -> None:
    got = terms(headers)
    assert (got.lookup, got.store) == (lookup, store)
    assert bool(got.reason) == (not lookup)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"role": "user", "content": "What is on today?"}], "'today'"),
        ([{"role": "user", "content": [{"type": "text", "text": "My order, please"}]}], "'my order'"),
        (
            [
                {"role": "user", "content": "I am jo@example.org"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "How do I pay?"},
            ],
            "an e-mail address",
        ),
    ],
)
def test_words_that_are_turned_away_in_any_of_the_users_turns(messages: Any, reason: str) -> None:
    got = terms(messages=messages)
    assert (got.lookup, got.store) == (False, False)
    assert reason in got.reason


def test_what_others_say_is_not_looked_through() -> None:
    said = [{"role": role, "content": "today, to jo@example.org"} for role in ("system", "developer", "assistant")]
    assert terms(messages=[*said, {"role": "user", "content": "Hi"}]).lookup


def test_completions_are_looked_through_too() -> None:
    rules = CacheRules(live=("today",))
    for prompt in ("What is on today?", ["a", "today"]):
        assert not terms_for(ModelRequest("completions", {"model": "m", "prompt": prompt}), {}, rules).lookup
    assert terms_for(ModelRequest("completions", {"model": "m", "prompt": [1, 2]}), {}, rules).lookup


def test_clients_may_be_stricter() -> None:
    assert terms({"x-weir-cache": "exact"}).exact_only
    assert not terms().exact_only
    assert terms({"x-weir-max-wrong-hits": "0.001"}).max_wrong_hits == 0.001
    assert terms().max_wrong_hits == 1
    for wrong in ("-1", "2", "few", "nan", ""):
        got = terms({"x-weir-max-wrong-hits": wrong})
        assert not got.lookup
        assert "share from 0 to 1" in got.reason


def test_clients_name_tags() -> None:
    assert terms({"x-weir-cache-tags": " faq, prices ,faq,,"}).tags == ("faq", "prices")
    many = terms({"x-weir-cache-tags": ",".join(f"{n:0200}" for n in range(50))}).tags
    assert len(many) == 1  # cut to the same beginning
    assert len(terms({"x-weir-cache-tags": ",".join(f"t{n}" for n in range(50))}).tags) == 16


def test_no_cache_does_not_let_in_what_would_be_turned_away() -> None:
    assert not terms({"cache-control": "no-cache"}, n=2).store


def test_embeddings_have_no_temperature() -> None:
    request = ModelRequest("embeddings", {"model": "m", "input": "Hi", "messages": 5})
    assert terms_for(request, {}, CacheRules(max_temperature=0)) == CacheTerms(lookup=True, store=True)


def answer(**choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop", **choice}]}


def test_finished_answers_are_kept() -> None:
    assert refuse_answer(answer()) == ""
    assert refuse_answer(answer(message={"content": "Hi", "tool_calls": [], "function_call": None})) == ""
    assert refuse_answer({"choices": [{"text": "Hi", "finish_reason": "stop"}]}) == ""
    assert refuse_answer({"object": "list", "data": [{"embedding": [0.1]}]}) == ""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (answer(finish_reason="length"), "'length'"),
        (answer(finish_reason="content_filter"), "'content_filter'"),
        (answer(finish_reason=None), "cut off"),
        ({"choices": [*answer()["choices"], *answer(finish_reason="length")["choices"]]}, "'length'"),
        (answer(message={"tool_calls": [{"id": "c"}]}), "tools"),
        (answer(message={"function_call": {"name": "f"}}), "tools"),
        (answer(message=None), "neither"),
        ({"choices": [{"finish_reason": "stop"}]}, "neither"),
        ({"choices": []}, "no choices"),
        ({"choices": [1]}, "not an object"),
        ({"object": "list", "data": []}, "no choices"),
        ({}, "no choices"),
    ],
)
def test_answers_that_are_turned_away(data: dict[str, Any], reason: str) -> None:
    assert reason in refuse_answer(data)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["stop", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "data", "message", "text", "finish_reason", "tool_calls"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["choices", "data"]), garbage))
def test_no_answer_is_too_odd_to_judge(data: dict[str, Any]) -> None:
    assert isinstance(refuse_answer(data), str)
