"""From statuses, headers and bodies to failures, as tables."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import (
    ConnectionRefused,
    ConnectionReset,
    MalformedAnswer,
    SlowUpstream,
    StreamCut,
    StreamStalled,
    UpstreamFailure,
    UpstreamRejected,
)
from router.upstreams.failures import (
    DETAIL_LIMIT,
    MESSAGE_LIMIT,
    error_object,
    of_answer,
    of_exception,
    redacted,
    retry_after_s,
)
from router.upstreams.http1 import NotConnected, NotHTTP, NotSecure

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 99 Nov 2026 11:00:00 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "?", "retry-after": "9"}, 9.0),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers, NOW) == wait_s


@given(st.text())
def test_any_retry_after_is_a_wait_or_nothing(value: str) -> None:
    wait_s = retry_after_s({"retry-after": value}, NOW)
    assert wait_s is None or 0 <= wait_s < float("inf")


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: abcdefghij.",
        "used sk-proj-abc123_DEF for this",
        "used sk-****wxyz for this",
        "Authorization: Bearer abc.def-ghi",
        "key AIzaSyA1234567890abcdefgh",
        '{"api_key": "s3cr3tvalue"}',
        "xai-abcdef0123 and hf_abcdef0123",
        "the configured-credential itself",
    ],
)
def test_what_looks_like_a_key_is_cut_out(text: str) -> None:
    plain = redacted(text, ["configured-credential"])
    assert "[redacted]" in plain
    for secret in ("abcdefghij", "abc123", "wxyz", "abc.def", "SyA123", "s3cr3t", "abcdef0123", "credential"):
        assert secret not in plain


@pytest.mark.parametrize(
    "text", ["Invalid value for 'temperature'.", "task-list is too long", "basic is not a plan"]
)
def test_plain_words_stay(text: str) -> None:
    assert redacted(text) == text


@given(st.text(max_size=600), st.one_of(st.none(), st.text(max_size=200)))
def test_a_rejection_is_bounded_and_printable(message: str, param: str | None) -> None:
    body = orjson.dumps({"error": {"message": message, "param": param}})
    failure = of_answer(400, {}, body, ["0123456789"])
    assert type(failure) is UpstreamRejected
    assert 0 < len(failure.message) <= MESSAGE_LIMIT
    assert failure.message.isprintable()
    assert len(failure.detail) <= DETAIL_LIMIT
    assert failure.param is None or (len(failure.param) <= 100 and failure.param.isprintable())


def test_addresses_are_not_passed_on() -> None:
    body = orjson.dumps({"error": {"message": "See https://internal.example/help or 10.0.0.7:8000\nnow"}})
    assert of_answer(404, {}, body).message == "See [address] or [address] now"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"x"}}', "x"),
        (b'{"error":"plain words"}', "plain words"),
        (b'{"error":{}}', None),
        (b'{"error":null}', None),
        (b'{"error":[1]}', None),
        (b'["error"]', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_an_error_object_is_found_where_there_is_one(body: bytes, message: str | None) -> None:
    found = error_object(body)
    assert (found or {}).get("message") == message


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (TimeoutError(), SlowUpstream, StreamStalled),
        (NotConnected("refused"), ConnectionRefused, ConnectionRefused),
        (NotSecure("not trusted"), ConnectionRefused, ConnectionRefused),
        (NotHTTP("garbage"), MalformedAnswer, MalformedAnswer),
        (ConnectionResetError(104, "reset"), ConnectionReset, StreamCut),
        (OSError(24, "too many open files"), ConnectionReset, StreamCut),
    ],
)
def test_an_exception_is_named_by_whether_the_answer_had_begun(
    error: Exception, before: type[UpstreamFailure], after: type[UpstreamFailure]
) -> None:
    assert type(of_exception(error, began=False)) is before
    assert type(of_exception(error, began=True)) is after
    assert type(error).__name__ in of_exception(error, began=True).detail


def test_a_status_that_is_neither_good_nor_bad_is_no_answer() -> None:
    assert type(of_answer(302, {}, b"")) is MalformedAnswer
