"""The serving process: what it has imported, how it reloads, how it ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import openai
import pytest

from tests.e2e.running import (
    SUPPORT,
    UNWANTED,
    RunningWeir,
    eventually,
    imported_by,
    running_weir,
    write_config,
)

HELLO = [{"role": "user", "content": "Hello"}]


def test_a_serving_process_imports_nothing_heavy(tmp_path: Path) -> None:
    def use(weir: RunningWeir) -> None:
        weir.client().chat.completions.create(model="support", messages=HELLO)
        list(weir.client().chat.completions.create(model="auto", messages=HELLO, stream=True))
        eventually(lambda: weir.get("/readyz", None)[0] == 200)

    imported = imported_by(SUPPORT, tmp_path / "state", use)
    assert {"aiohttp", "router.pipeline"} <= imported
    assert not {name.split(".")[0] for name in imported} & UNWANTED


def test_a_changed_configuration_is_taken_up_without_dropping_a_request(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        models={
            "talker": {"upstream": "scripted", "name": "slow-tokens-20", "price": {"input": "1", "output": "2"}}
        },
        routes={"before": {"candidates": ["talker"]}},
    )
    with running_weir(config, tmp_path / "state") as weir:
        client = weir.client()
        stream = client.chat.completions.create(model="before", messages=HELLO, stream=True)
        next(iter(stream))
        config.write_text(config.read_text().replace("before:", "after:").replace("slow-tokens-20", "echo"))
        eventually(lambda: "after" in {model.id for model in client.models.list()})
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "stop"
        assert client.chat.completions.create(model="after", messages=HELLO).choices
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="before", messages=HELLO)


def test_a_bad_configuration_keeps_the_old_one(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with running_weir(config, tmp_path / "state") as weir:
        good = config.read_text()
        config.write_text(good + "surprise: true\n")
        status, body = weir.admin("POST", "/admin/v1/reload")
        assert (status, body["result"]) == (200, "refused")
        assert weir.client().chat.completions.create(model="auto", messages=HELLO).choices
        assert 'weir_config_reloads_total{result="refused"}' in weir.get("/metrics", weir.admin_key)[1]


def test_a_key_is_revoked_at_once(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with running_weir(config, tmp_path / "state") as weir:
        status, key = weir.admin(
            "POST", "/admin/v1/keys", body={"tenant": "acme", "name": "web", "routes": ["auto"]}
        )
        assert status == 201
        client = weir.client(key["secret"])
        assert client.chat.completions.create(model="auto", messages=HELLO).choices
        with pytest.raises(openai.NotFoundError):
            weir.client(key["secret"]).chat.completions.create(model="no-such", messages=HELLO)
        assert weir.admin("DELETE", f"/admin/v1/keys/{key['id']}")[0] == 200
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="auto", messages=HELLO)
        listed = weir.admin("GET", "/admin/v1/keys")[1]["data"]
        assert [entry["id"] for entry in listed if entry["revoked_at"]] == [key["id"]]
        assert "secret" not in listed[0]


def test_keys_made_on_the_command_line_work_and_their_secret_is_nowhere(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with running_weir(config, tmp_path / "state") as weir:
        made = json.loads(weir.weir("keys", "create", "--tenant", "acme", "--config", str(config), "--json"))
        eventually(lambda: weir.get("/v1/models", made["key"])[0] == 200)
        weir.weir("keys", "revoke", made["id"], "--config", str(config))
        eventually(lambda: weir.get("/v1/models", made["key"])[0] == 401)
        weir.stop()
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or made["key"].encode() not in file.read_bytes()


def test_a_stream_is_finished_before_the_server_ends(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        models={
            "talker": {"upstream": "scripted", "name": "slow-tokens-20", "price": {"input": "1", "output": "2"}}
        },
        routes={},
    )
    with running_weir(config, tmp_path / "state") as weir:
        stream = weir.client().chat.completions.create(model="talker", messages=HELLO, stream=True)
        next(iter(stream))
        weir.process.terminate()
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "stop"
        assert weir.process.wait(30) == 0
        assert weir.costs()["total"]["requests"] == 1


def test_a_hundred_equal_questions_at_once_make_one_upstream_call(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        models={"slow": {"upstream": "scripted", "name": "slow-500", "price": {"input": "1", "output": "2"}}},
        routes={},
    )

    async def ask_all(weir: RunningWeir) -> list[str]:
        async with weir.async_client() as client:
            replies = await asyncio.gather(
                *(
                    client.chat.completions.with_raw_response.create(model="slow", messages=HELLO)
                    for _ in range(100)
                )
            )
        return [reply.headers["x-weir-request-id"] for reply in replies]

    with running_weir(config, tmp_path / "state") as weir:
        request_ids = asyncio.run(ask_all(weir))
        attempts = [len(weir.decision(request_id)["attempts"]) for request_id in request_ids]
        assert sum(attempts) == 1
        assert weir.costs()["total"]["requests"] == 100


def test_a_client_that_hangs_up_is_still_billed_in_full(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        models={
            "talker": {"upstream": "scripted", "name": "slow-tokens-20", "price": {"input": "1", "output": "2"}}
        },
        routes={},
    )
    with running_weir(config, tmp_path / "state") as weir:
        whole = weir.client().chat.completions.create(
            model="talker", messages=HELLO, extra_headers={"Cache-Control": "no-store"}
        )
        stream = weir.client().chat.completions.with_raw_response.create(
            model="talker", messages=HELLO, stream=True, extra_headers={"Cache-Control": "no-store"}
        )
        parsed = stream.parse()
        next(iter(parsed))
        parsed.close()
        request_id = stream.headers["x-weir-request-id"]
        eventually(lambda: weir.get(f"/v1/decisions/{request_id}", weir.admin_key)[0] == 200)
        decision = weir.decision(request_id)
        assert decision["hung_up"] is True
        assert decision["usage"]["source"] == "reported"
        assert decision["usage"]["completion_tokens"] == whole.usage.completion_tokens
