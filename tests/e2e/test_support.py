"""The example business on a real server, through the official client: what the README promises."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import openai
import pytest

from tests.e2e.running import SUPPORT, RunningWeir, eventually, running_weir

TENANTS = ["acme", "globex"]
QUESTION = [{"role": "user", "content": "How do I reset my password?"}]


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    with running_weir(SUPPORT, tmp_path_factory.mktemp("state")) as weir:
        yield weir


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_repeated_question_is_an_exact_hit_and_costs_nothing(weir: RunningWeir, tenant: str) -> None:
    client = weir.client(f"sk-weir-demo-{tenant}")
    replies = [
        client.chat.completions.with_raw_response.create(model="support", messages=QUESTION) for _ in range(2)
    ]
    assert [reply.headers["x-weir-cache"] for reply in replies] == ["miss", "exact"]
    assert Decimal(replies[0].headers["x-weir-cost"]) > 0
    assert replies[1].headers["x-weir-cost"] == "0"
    first, second = (reply.parse() for reply in replies)
    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.id != second.id


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_stream_carries_the_same_answer_as_the_whole(weir: RunningWeir, tenant: str) -> None:
    client = weir.client(f"sk-weir-demo-{tenant}")
    question = [{"role": "user", "content": f"Do you deliver on Saturdays, {tenant}?"}]
    whole = client.chat.completions.create(model="support", messages=question)
    for expected in ("fresh", "replayed"):
        headers = {"Cache-Control": "no-cache"} if expected == "fresh" else {}
        chunks = list(
            client.chat.completions.create(
                model="support",
                messages=question,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=headers,
            )
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_what_is_often_asked_is_answered_by_the_student_and_the_rest_by_the_large_model(weir: RunningWeir) -> None:
    eventually(lambda: model_for(weir, "how do i set a new password pls") == "support-student", 60)
    assert model_for(weir, "What is the capital of France?") == "support-large"


def model_for(weir: RunningWeir, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    create = weir.client().chat.completions.with_raw_response.create
    reply = create(model="support", messages=messages, extra_headers={"Cache-Control": "no-cache"})
    return str(reply.headers["x-weir-model"])


def test_usage_is_shown_only_to_those_who_ask(weir: RunningWeir) -> None:
    stream = weir.client().chat.completions.create(model="support", messages=QUESTION, stream=True)
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_tenants_never_share_an_answer(weir: RunningWeir) -> None:
    question = [{"role": "user", "content": "Is this question asked by two tenants?"}]
    verdicts = [
        weir.client(f"sk-weir-demo-{tenant}")
        .chat.completions.with_raw_response.create(model="support", messages=question)
        .headers["x-weir-cache"]
        for tenant in TENANTS
    ]
    assert verdicts == ["miss", "miss"]


def test_the_report_equals_the_sum_over_responses(tmp_path_factory: pytest.TempPathFactory) -> None:
    spent: dict[str, Decimal] = {}
    with running_weir(SUPPORT, tmp_path_factory.mktemp("state")) as weir:
        for tenant in TENANTS:
            client = weir.client(f"sk-weir-demo-{tenant}")
            for index in range(6):
                reply = client.chat.completions.with_raw_response.create(
                    model="support", messages=[{"role": "user", "content": f"Question {index % 4}: where is it?"}]
                )
                spent[tenant] = spent.get(tenant, Decimal(0)) + Decimal(reply.headers["x-weir-cost"])
            stream = client.chat.completions.with_raw_response.create(
                model="support", messages=[{"role": "user", "content": "A streamed question"}], stream=True
            )
            assert list(stream.parse())
            decision = weir.decision(stream.headers["x-weir-request-id"])
            spent[tenant] += Decimal(decision["cost_usd"])
        while_running = weir.costs()
        weir.stop()
        afterwards = weir.costs()
    assert Decimal(while_running["total"]["cost"]) == sum(spent.values())
    assert afterwards["total"] == while_running["total"]
    by_tenant = {
        tenant: sum(Decimal(row["cost"]) for row in afterwards["rows"] if row["tenant"] == tenant)
        for tenant in TENANTS
    }
    assert by_tenant == spent


def test_models_lists_routes_first_and_only_what_the_key_may_use(weir: RunningWeir) -> None:
    names = {tenant: [m.id for m in weir.client(f"sk-weir-demo-{tenant}").models.list()] for tenant in TENANTS}
    assert {"support", "auto"} <= set(names["acme"][:3])
    assert set(names["globex"]) < set(names["acme"])
    hidden = next(iter(set(names["acme"]) - set(names["globex"])))
    with pytest.raises(openai.NotFoundError) as refusal:
        weir.client("sk-weir-demo-globex").chat.completions.create(model=hidden, messages=QUESTION)
    assert refusal.value.code == "model_not_found"
    assert refusal.value.param == "model"


def test_a_decision_is_for_its_own_tenant_and_the_admin(weir: RunningWeir) -> None:
    reply = weir.client().chat.completions.with_raw_response.create(model="support", messages=QUESTION)
    request_id = reply.headers["x-weir-request-id"]
    for key in ("sk-weir-demo-acme", weir.admin_key):
        decision = weir.decision(request_id, key)
        assert decision["cost_usd"] == reply.headers["x-weir-cost"]
        assert decision["cache"]["verdict"] == reply.headers["x-weir-cache"]
    assert weir.get(f"/v1/decisions/{request_id}", "sk-weir-demo-globex")[0] == 404


def test_embeddings_and_completions_go_the_same_way(weir: RunningWeir) -> None:
    client = weir.client()
    embedding_model = next(m.id for m in client.models.list() if "embed" in m.id)
    vectors = client.embeddings.create(model=embedding_model, input=["one", "two"])
    assert len(vectors.data) == 2
    completion = client.completions.create(model="support-large", prompt="Say something")
    assert completion.choices[0].text


def test_nothing_but_health_is_open(weir: RunningWeir) -> None:
    assert weir.get("/healthz", None)[0] == 200
    assert weir.get("/readyz", None)[0] == 200
    paths = ["/v1/models", "/v1/decisions/x", "/metrics", "/openapi.json", "/admin/v1/keys"]
    assert {path: weir.get(path, None)[0] for path in paths} == dict.fromkeys(paths, 401)
    assert {path: weir.get(path, "sk-weir-nobody")[0] for path in ("/v1/models", "/v1/decisions/x")} == {
        "/v1/models": 401,
        "/v1/decisions/x": 401,
    }
    assert weir.get("/metrics", "sk-weir-demo-acme")[0] == 403
    assert weir.get("/admin/v1/keys", "sk-weir-demo-acme")[0] == 403


def test_metrics_hold_what_was_served(weir: RunningWeir) -> None:
    weir.client().chat.completions.create(model="support", messages=QUESTION)
    status, page = weir.get("/metrics", weir.admin_key)
    assert status == 200
    assert 'weir_requests_total{cache="exact"' in page
    assert "weir_in_flight 0.0" in page


def test_demo_keys_are_refused_beyond_loopback(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_weir(SUPPORT, tmp_path_factory.mktemp("state"), host="0.0.0.0") as weir:
        weir.url = weir.url.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(openai.AuthenticationError) as refusal:
            weir.client().models.list()
        assert refusal.value.code == "demo_key_refused"
