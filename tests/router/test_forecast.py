"""What is expected of a request before its model is called, from its body and from answers like it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.records import Endpoint
from contracts.request import ModelRequest
from contracts.usage import TokenUsage
from router.estimates import TokenEstimator
from router.forecast import Forecast, Recent, limit_of, samples_of
from tests.router.plain import chat

GUESS = 700


def forecast() -> Forecast:
    return Forecast(TokenEstimator([]), first_guess=GUESS)


def asked(endpoint: Endpoint = "chat/completions", **more: Any) -> ModelRequest:
    body = (
        chat(**more) if endpoint == "chat/completions" else {"model": "good", "prompt": "x", "input": "x", **more}
    )
    return ModelRequest(endpoint, body)


def expected(
    forecast: Forecast, request: ModelRequest, *, prompt: int = 100, model: str = "good"
) -> tuple[int, int]:
    usage = forecast.usage("support", model, request, request.raw, prompt)
    return usage.prompt, usage.completion


def told(forecast: Forecast, request: ModelRequest, usage: TokenUsage, *, prompt: int = 100) -> None:
    forecast.learn("support", "good", request, request.raw, prompt, usage)


@pytest.mark.parametrize(
    ("more", "completion"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60}, 60),
        ({"max_tokens": 50, "max_completion_tokens": 60}, 60),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"n": 3}, 3 * GUESS),
        ({"max_tokens": None}, GUESS),
        ({}, GUESS),
    ],
)
def test_the_output_is_what_the_request_allows_else_a_guess(more: dict[str, Any], completion: int) -> None:
    assert expected(forecast(), asked(**more)) == (125, completion)


@pytest.mark.parametrize(
    ("more", "samples"),
    [
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": ["a", "b"], "n": 2, "best_of": 5}, 10),
        ({"prompt": "a", "best_of": 5}, 5),
        ({"prompt": "a", "n": 2, "best_of": 1}, 2),
        ({"prompt": "a", "best_of": "many"}, 1),
    ],
)
def test_every_answer_that_is_written_counts(more: dict[str, Any], samples: int) -> None:
    request = asked("completions", **more)
    assert samples_of(request, request.raw) == samples
    assert expected(forecast(), asked("completions", max_tokens=10, **more))[1] == 10 * samples


def test_embeddings_write_nothing() -> None:
    assert expected(forecast(), asked("embeddings")) == (125, 0)


def test_a_limit_that_is_no_number_is_none() -> None:
    assert [limit_of(body) for body in ({"max_tokens": "5"}, {"max_tokens": True}, {"max_tokens": 0})] == [
        None,
        None,
        0,
    ]


def test_answers_teach_what_nineteen_in_twenty_stay_below() -> None:
    learning = forecast()
    for length in range(1, 101):
        told(learning, asked(n=2), TokenUsage(prompt=150, completion=2 * length))
    assert expected(learning, asked()) == (150, 95)
    assert expected(learning, asked(n=2)) == (150, 190)
    assert expected(learning, asked(max_tokens=7)) == (150, 7)
    assert expected(learning, asked(), model="other") == (125, GUESS)


def test_answers_that_a_limit_cut_say_nothing_of_those_without_one() -> None:
    learning = forecast()
    told(learning, asked(max_tokens=5), TokenUsage(prompt=100, completion=5))
    assert expected(learning, asked()) == (100, GUESS)


def test_what_was_estimated_or_replayed_teaches_nothing() -> None:
    learning = forecast()
    for source in ("estimated", "cache", "none"):
        told(learning, asked(), TokenUsage(prompt=900, completion=5, source=source))
    told(learning, asked(), TokenUsage(prompt=900, completion=5), prompt=0)
    assert expected(learning, asked()) == (125, 5)


def test_memory_is_bounded_and_forgets() -> None:
    recent = Recent()
    assert recent.high is None
    for value in [1000.0] * 10 + [1.0] * 128:
        recent.add(value)
    assert recent.high == 1.0


def test_only_the_dear_tier_is_believed_beforehand() -> None:
    tiers = [
        forecast().usage("support", "good", request, request.raw, 1).tier
        for request in (asked(service_tier="priority"), asked(service_tier="flex"), asked())
    ]
    assert tiers == ["priority", "", ""]


def test_the_prompt_is_estimated_as_it_is_for_bills() -> None:
    body = chat(text="x" * 400)
    assert forecast().prompt(body) == TokenEstimator([]).estimate(body, "").prompt > 100


def test_absurd_sizes_stay_counts() -> None:
    usage = forecast().usage("r", "m", asked(max_tokens=10_000_000, n=128), chat(max_tokens=10_000_000, n=128), 1)
    assert usage.completion == 10**9
