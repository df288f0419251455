"""The fault table: for each way an upstream can fail, what the client sees, how soon, and what the ledger holds.

Real sockets all the way: client, Weir, and the scripted upstream whose model names choose the fault. Every fault is
met twice, by a route that has nothing else and by one that may fall back to a good model, streamed and whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.running import RunningWeir, eventually, running_weir, write_config

DEADLINE_S = 3.0
"""Each route's deadline. The client's own limit below leaves a second for a busy machine."""
HELLO = [{"role": "user", "content": "Hello there"}]
PRICE = {"input": "1", "output": "2"}


@dataclass(frozen=True)
class Fault:
    """One row. `status` and `code` are what the client sees where no other model stands by.

    `after_first_token`: streamed, it shows only once the answer has begun, when no other model can help any more.
    `attempts` is how often a model was called then. `falls_back`: whether another model is asked at all.
    """

    model: str
    status: int
    code: str
    attempts: int = 2
    after_first_token: bool = False
    falls_back: bool = True
    retry_after: str | None = None


FAULTS = [
    Fault("refused", 502, "upstream_refused_connection"),
    Fault("reset", 502, "upstream_reset"),
    Fault("reset-after-headers", 502, "upstream_reset"),
    Fault("stall", 504, "upstream_slow"),
    Fault("slow-20000", 504, "upstream_slow"),
    Fault("error-500", 502, "upstream_server_error"),
    Fault("error-502", 502, "upstream_server_error"),
    Fault("error-503", 502, "upstream_server_error"),
    Fault("error-529", 502, "upstream_server_error"),
    Fault("error-401", 502, "upstream_refused_key", attempts=1),
    Fault("error-403", 502, "upstream_refused_key", attempts=1),
    Fault("error-400", 400, "upstream_rejected", attempts=1, falls_back=False),
    Fault("error-422", 422, "upstream_rejected", attempts=1, falls_back=False),
    Fault("rate-limited", 429, "upstream_rate_limited"),
    Fault("rate-limited-1", 429, "upstream_rate_limited", retry_after="1"),
    Fault("rate-limited-60", 429, "upstream_rate_limited", attempts=1, retry_after="60"),
    Fault("malformed", 502, "upstream_malformed"),
    Fault("empty", 502, "upstream_malformed"),
    Fault("wrong-type", 502, "upstream_malformed"),
    Fault("stall-mid-stream", 504, "upstream_stalled", after_first_token=True),
    Fault("slow-tokens-20/cut-mid-stream", 502, "upstream_cut", after_first_token=True),
    Fault("slow-tokens-20/error-mid-stream", 502, "upstream_server_error", after_first_token=True),
    Fault("slow-tokens-20/malformed-stream", 502, "upstream_malformed", after_first_token=True),
]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.model)
each_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder = tmp_path_factory.mktemp("faults")
    names = [fault.model for fault in FAULTS]
    names += ["no-done", "no-usage", "length", "wrong-usage-1", "wrong-usage-2", "wrong-usage-3", "flaky-1"]
    limits = {
        "deadline_seconds": DEADLINE_S,
        "attempt_seconds": 0.8,
        "stall_seconds": 0.5,
        "retries": 1,
        "backoff_seconds": 0.02,
    }
    models: dict[str, Any] = {"good": {"upstream": "scripted", "name": "echo", "price": PRICE}}
    routes: dict[str, Any] = {}
    for name in names:
        # A model of its own for each case, since one that asked to be left alone is left alone by all.
        for case in ("alone", "guarded", "alone-streamed", "guarded-streamed"):
            models[f"{case}-bad-{name}"] = {"upstream": "scripted", "name": name, "price": PRICE}
            candidates = [f"{case}-bad-{name}", *(["good"] if "guarded" in case else [])]
            routes[f"{case}-{name}"] = {"candidates": candidates, "attempts": limits}
    config = write_config(
        folder,
        # This table is about single requests; what the breaker makes of many is told in test_breakers.
        breaker={"failures": 10_000},
        models=models,
        routes=routes,
    )
    with running_weir(config, folder / "state") as weir:
        yield weir


@dataclass
class Seen:
    """What the client got: an HTTP status, the error's code (of the body or of the SSE event), and the text."""

    status: int
    code: str | None
    text: str
    headers: httpx.Headers
    errors: int = 0


def ask(weir: RunningWeir, route: str, fault: str, *, streamed: bool) -> Seen:
    model = f"{route}-streamed-{fault}" if streamed else f"{route}-{fault}"
    client = weir.client().with_options(timeout=DEADLINE_S + 1)
    create = client.chat.completions.with_raw_response.create
    try:
        if not streamed:
            reply = create(model=model, messages=HELLO, extra_headers={"Cache-Control": "no-store"})
            return Seen(200, None, reply.parse().choices[0].message.content or "", reply.headers)
        reply = create(model=model, messages=HELLO, stream=True, extra_headers={"Cache-Control": "no-store"})
    except openai.APIStatusError as error:
        return Seen(error.status_code, error.code, "", error.response.headers)
    text = ""
    try:
        with reply.parse() as chunks:
            for chunk in chunks:
                text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        return Seen(200, error.code, text, reply.headers, errors=1)
    return Seen(200, None, text, reply.headers)


def event_of(weir: RunningWeir, seen: Seen) -> dict[str, Any]:
    request_id = seen.headers["x-weir-request-id"]
    eventually(lambda: weir.get(f"/v1/decisions/{request_id}", weir.admin_key)[0] == 200)
    return weir.decision(request_id)


@each_way
@each_fault
def test_alone(weir: RunningWeir, fault: Fault, streamed: bool) -> None:
    seen = ask(weir, "alone", fault.model, streamed=streamed)
    event = event_of(weir, seen)
    assert event["error"] == fault.code == seen.code
    if streamed and fault.after_first_token:
        assert (seen.status, seen.errors) == (200, 1)
        assert seen.text, "the client keeps what it had"
        assert (event["outcome"], event["status"], len(event["attempts"])) == ("cut", 200, 1)
        assert event["usage"]["source"] == "estimated"
        assert event["usage"]["completion_tokens"] > 0
        assert Decimal(event["cost_usd"]) > 0
        return
    assert seen.status == fault.status
    assert (event["outcome"], event["status"]) == ("failed", fault.status)
    assert len(event["attempts"]) == fault.attempts
    assert {attempt["error"] for attempt in event["attempts"]} == {fault.code}
    assert event["cost_usd"] == "0"
    assert event["usage"]["source"] == "none"
    assert seen.headers.get("retry-after") == fault.retry_after


@each_way
@each_fault
def test_guarded(weir: RunningWeir, fault: Fault, streamed: bool) -> None:
    seen = ask(weir, "guarded", fault.model, streamed=streamed)
    event = event_of(weir, seen)
    if not fault.falls_back:
        assert (seen.status, seen.code) == (fault.status, fault.code)
        assert event["model"] is None
    elif streamed and fault.after_first_token:
        assert (seen.code, seen.errors) == (fault.code, 1)
        assert event["outcome"] == "cut"
    else:
        assert (seen.status, seen.text) == (200, "Hello there")
        assert seen.headers["x-weir-model"] == event["model"] == "good"
        assert [attempt["error"] for attempt in event["attempts"]][-1] == ""
        assert {attempt["error"] for attempt in event["attempts"][:-1]} == {fault.code}
        assert event["usage"]["source"] == "reported"


@each_way
@pytest.mark.parametrize("model", ["no-usage", "wrong-usage-1", "wrong-usage-2", "wrong-usage-3"])
def test_usage_that_cannot_be_believed_is_estimated_and_kept(weir: RunningWeir, model: str, streamed: bool) -> None:
    event = event_of(weir, ask(weir, "alone", model, streamed=streamed))
    assert event["outcome"] == "answered"
    assert event["usage"]["source"] == "estimated"
    assert event["usage"]["method"]
    assert event["usage"]["prompt_tokens"] > 0
    assert event["usage"]["completion_tokens"] > 0
    assert (event["usage"]["raw"] is None) == (model == "no-usage")
    assert Decimal(event["cost_usd"]) > 0


def test_a_stream_without_done_is_whole_once_it_has_finished(weir: RunningWeir) -> None:
    seen = ask(weir, "alone", "no-done", streamed=True)
    assert seen.code is None
    assert event_of(weir, seen)["outcome"] == "answered"


@each_way
def test_a_retry_is_enough_where_the_second_try_works(weir: RunningWeir, streamed: bool) -> None:
    seen = ask(weir, "alone", "flaky-1", streamed=streamed)
    assert seen.status == 200
    assert [attempt["error"] for attempt in event_of(weir, seen)["attempts"]] == ["upstream_server_error", ""]


def test_an_answer_cut_at_its_length_is_not_stored(weir: RunningWeir) -> None:
    for _ in range(2):
        reply = weir.client().chat.completions.with_raw_response.create(model="alone-length", messages=HELLO)
        assert reply.headers["x-weir-cache"] == "miss"


def test_every_failure_is_in_the_report(weir: RunningWeir) -> None:
    ask(weir, "alone", "refused", streamed=False)
    rows = weir.costs()["rows"]
    refused = next(row for row in rows if row["route"] == "alone-refused")
    assert refused["failed"] == refused["requests"] >= 1


def test_no_provider_body_key_or_host_reaches_the_client(weir: RunningWeir) -> None:
    for fault in FAULTS:
        with pytest.raises(openai.APIStatusError) as error:
            weir.client().chat.completions.create(model=f"alone-{fault.model}", messages=HELLO)
        text = error.value.response.text
        assert "127.0.0.1" not in text
        assert "Traceback" not in text
        assert "<html" not in text
