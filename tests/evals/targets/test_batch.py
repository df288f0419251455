from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from evals.records import Answer
from evals.targets.batch import BatchClient, Outcome, SentBatch
from evals.targets.port import TargetFailure
from evals.targets.prices import stated_price
from tests.evals.targets.batch_provider import USAGE, BatchProvider
from tests.evals.targets.servers import nobody, scripted


def asked(*texts: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"id-{text}", {"messages": [{"role": "user", "content": text}], "stream": True}) for text in texts]


@asynccontextmanager
async def client_of(provider: BatchProvider, **options: Any) -> AsyncIterator[BatchClient]:
    settings = {"timeout_s": 10, "poll_s": 0.01, **options}
    async with provider.serving() as base_url, BatchClient("gpt-5.1", base_url, "sk-x", **settings) as client:
        yield client


async def sent(client: BatchClient, *texts: str) -> list[SentBatch]:
    return [batch async for batch in client.submit(asked(*texts))]


async def of(client: BatchClient, batch: SentBatch) -> dict[str, Answer | TargetFailure]:
    outcomes: list[Outcome] = [outcome async for outcome in client.results(batch)]
    assert len(outcomes) == len(dict(outcomes)), "each once"
    return dict(outcomes)


def failure_in(outcome: Answer | TargetFailure) -> TargetFailure:
    assert isinstance(outcome, TargetFailure)
    return outcome


async def test_each_answer_finds_its_request_in_whatever_order_they_come() -> None:
    provider = BatchProvider()
    async with client_of(provider) as client:
        [batch] = await sent(client, "a", "b", "c")
        found = await of(client, batch)
    assert batch == SentBatch("batch-0", ("id-a", "id-b", "id-c"))
    assert {name: getattr(answer, "text", None) for name, answer in found.items()} == {
        "id-a": "re: a",
        "id-b": "re: b",
        "id-c": "re: c",
    }
    assert [line["custom_id"] for line in provider.uploads[0]] == ["id-a", "id-b", "id-c"]
    line = provider.uploads[0][0]
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["body"] == {"model": "gpt-5.1", "messages": [{"role": "user", "content": "a"}]}
    assert provider.created[0]["endpoint"] == "/v1/chat/completions"


@pytest.mark.parametrize(("price", "usual_share"), [("gpt-5.1", None), ("input=2,output=8", Decimal("0.5"))])
async def test_a_batch_costs_its_listed_price_or_a_share_of_the_usual(
    price: str, usual_share: Decimal | None
) -> None:
    stated = stated_price(price)
    async with client_of(BatchProvider(), price=stated) as client:
        [batch] = await sent(client, "a")
        answer = (await of(client, batch))["id-a"]
    assert isinstance(answer, Answer)
    usual = stated.cost(USAGE["prompt_tokens"], USAGE["completion_tokens"])
    assert answer.cost is not None
    assert answer.latency_ms is None
    assert answer.cost == usual * usual_share if usual_share else 0 < answer.cost < usual


async def test_errors_of_single_requests_do_not_concern_the_others() -> None:
    provider = BatchProvider()
    provider.refused, provider.dropped = {"b"}, {"c"}
    async with client_of(provider) as client:
        [batch] = await sent(client, "a", "b", "c")
        found = await of(client, batch)
    assert isinstance(found["id-a"], Answer)
    refused, missing = failure_in(found["id-b"]), failure_in(found["id-c"])
    assert (refused.message, refused.retryable, refused.fatal) == ("Too long.", False, False)
    assert (missing.code, missing.retryable) == ("batch_completed", True)


async def test_of_an_expired_batch_the_answers_that_there_are_count() -> None:
    provider = BatchProvider()
    provider.status, provider.expired, provider.dropped = "expired", {"b"}, {"c"}
    async with client_of(provider) as client:
        [batch] = await sent(client, "a", "b", "c")
        found = await of(client, batch)
    assert isinstance(found["id-a"], Answer)
    for name in ("id-b", "id-c"):
        failure = failure_in(found[name])
        assert (failure.code, failure.retryable, failure.fatal) == ("batch_expired", True, False)


async def test_what_somebody_cancelled_is_not_sent_again() -> None:
    provider = BatchProvider()
    provider.status, provider.dropped = "cancelled", {"a"}
    async with client_of(provider) as client:
        [batch] = await sent(client, "a")
        failure = failure_in((await of(client, batch))["id-a"])
    assert (failure.code, failure.retryable) == ("batch_cancelled", False)


@pytest.mark.parametrize(("code", "again"), [("model_not_batchable", False), ("token_limit_exceeded", True)])
async def test_a_batch_that_is_refused_as_a_whole_says_why(code: str, again: bool) -> None:
    provider = BatchProvider()
    provider.status, provider.errors = "failed", [{"code": code, "message": "It may not."}]
    async with client_of(provider) as client:
        [batch] = await sent(client, "a")
        with pytest.raises(TargetFailure, match="It may not") as caught:
            await of(client, batch)
    assert (caught.value.code, caught.value.retryable, caught.value.fatal) == (code, again, not again)


async def test_larger_work_goes_up_in_several_batches() -> None:
    provider = BatchProvider()
    async with client_of(provider, most_requests=2) as client:
        batches = await sent(client, "a", "b", "c", "d", "e")
        found = [await of(client, batch) for batch in batches]
    assert [batch.requests for batch in batches] == [("id-a", "id-b"), ("id-c", "id-d"), ("id-e",)]
    assert [sorted(part) for part in found] == [["id-a", "id-b"], ["id-c", "id-d"], ["id-e"]]


async def test_no_file_is_larger_than_the_provider_takes() -> None:
    provider = BatchProvider()
    async with client_of(provider, most_bytes=600) as client:
        batches = await sent(client, *(letter * 50 for letter in "abcdef"))
    assert len(batches) == 3
    assert sum(len(batch.requests) for batch in batches) == 6


async def test_nothing_to_send_sends_nothing() -> None:
    provider = BatchProvider()
    async with client_of(provider) as client:
        assert await sent(client) == []
    assert provider.uploads == []


async def test_waiting_goes_on_with_another_client_and_through_faults() -> None:
    provider = BatchProvider()
    async with provider.serving() as base_url:
        async with BatchClient("gpt-5.1", base_url, timeout_s=10) as client:
            [batch] = await sent(client, "a", "b")
        provider.faults = 3
        progress: list[tuple[int, int]] = []
        async with BatchClient("gpt-5.1", base_url, timeout_s=10, poll_s=0.01) as client:
            results = client.results(batch, told=lambda done, total: progress.append((done, total)))
            found = {name async for name, _ in results}
    assert found == {"id-a", "id-b"}
    assert progress[:2] == [(1, 2), (2, 2)]


async def test_a_server_without_batches_says_so() -> None:
    async with scripted() as server, BatchClient("echo", server.base_url, timeout_s=10) as client:
        with pytest.raises(TargetFailure, match="Leave out --batch") as caught:
            await sent(client, "a")
    assert (caught.value.code, caught.value.fatal) == ("no_batches", True)


async def test_a_server_that_is_away_for_good_ends_the_waiting() -> None:
    async with BatchClient("gpt-5.1", nobody(), timeout_s=5, poll_s=0.001) as client:
        with pytest.raises(TargetFailure) as caught:
            await of(client, SentBatch("batch-0", ("id-a",)))
    assert caught.value.code == "unreachable"
