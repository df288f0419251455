from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from evals.targets.refusals import failure_of, waiting_s


def said(code: str = "", message: str = "No.", kind: str = "") -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind or None, "code": code or None}})


@pytest.mark.parametrize(
    ("status", "headers", "code", "expected"),
    [
        (400, {}, "", {"retryable": False, "fatal": False, "slow_down": False}),
        (401, {}, "invalid_api_key", {"retryable": False, "fatal": True}),
        (402, {}, "insufficient_quota", {"retryable": False, "fatal": True}),
        (403, {}, "access_denied", {"retryable": False, "fatal": True}),
        (404, {}, "model_not_found", {"retryable": False, "fatal": True}),
        (404, {}, "", {"retryable": False, "fatal": True}),
        (405, {}, "", {"retryable": False, "fatal": True}),
        (302, {}, "", {"retryable": False, "fatal": True}),
        (408, {}, "", {"retryable": True, "fatal": False, "slow_down": False}),
        (429, {}, "", {"retryable": True, "slow_down": True, "retry_after_s": None}),
        (429, {"retry-after": "7"}, "", {"retryable": True, "slow_down": True, "retry_after_s": 7.0}),
        (429, {"retry-after-ms": "250"}, "", {"slow_down": True, "retry_after_s": 0.25}),
        (429, {"x-should-retry": "false"}, "rate_limit_exceeded", {"retryable": False, "fatal": False}),
        (429, {}, "insufficient_quota", {"retryable": False, "fatal": True, "slow_down": False}),
        (500, {}, "", {"retryable": True, "slow_down": False}),
        (501, {}, "", {"retryable": False, "fatal": False}),
        (503, {}, "", {"retryable": True, "slow_down": False}),
        (503, {"retry-after": "2"}, "upstream_resting", {"retryable": True, "slow_down": True}),
        (504, {}, "deadline_exceeded", {"retryable": True, "fatal": False}),
    ],
)
def test_a_status_says_what_may_be_done(
    status: int, headers: Mapping[str, str], code: str, expected: Mapping[str, Any]
) -> None:
    failure = failure_of(status, headers, said(code))
    assert {name: getattr(failure, name) for name in expected} == expected
    assert failure.code == (code or f"http_{status}")


def test_a_key_is_cut_out_of_what_is_quoted() -> None:
    message = "Incorrect key opensesame-4711 (sk-abcdefgh12345678)\nprovided."
    failure = failure_of(401, {}, said("invalid_api_key", message), secrets=["opensesame-4711"])
    assert "opensesame" not in failure.message
    assert "sk-abc" not in failure.message
    assert "WEIR_API_KEY" in failure.message
    assert "\n" not in failure.message


def test_an_unknown_model_is_told_with_those_that_there_are() -> None:
    failure = failure_of(404, {}, said("model_not_found"), names=["auto", "support"])
    assert "There are: auto, support." in failure.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"error": 3}', b'{"detail": "x"}'])
def test_a_body_of_any_shape_will_do(body: bytes) -> None:
    failure = failure_of(500, {}, body)
    assert (failure.code, failure.message) == ("http_500", "The target answered with HTTP status 500.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-reset-requests": "1s"}, 1),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "24h0m5s"}, 86405),
        ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-reset-tokens": "1m120ms"}, 60.12),
        ({"x-ratelimit-reset-tokens": "2.5"}, 2.5),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-reset-tokens": ""}, None),
        ({"x-ratelimit-reset-tokens": "nan"}, None),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-reset-tokens": "3s"}, 9),
        (
            {
                "x-ratelimit-reset-requests": "9s",
                "x-ratelimit-remaining-requests": "50",
                "x-ratelimit-reset-tokens": "3s",
                "x-ratelimit-remaining-tokens": "0",
            },
            3,
        ),
        ({"retry-after": "1", "x-ratelimit-reset-tokens": "3s"}, 1),
    ],
)
def test_limits_say_when_they_begin_anew(headers: Mapping[str, str], seconds: float | None) -> None:
    assert waiting_s(headers) == seconds


def test_a_date_says_when_to_come_back() -> None:
    told = waiting_s({"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)})
    assert told is not None
    assert 3000 < told <= 3600
