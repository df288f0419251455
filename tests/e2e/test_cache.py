"""The semantic cache as a user has it: a real Weir, its encoder in a process of its own, the official client."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.redis_server import empty_redis
from tests.e2e.running import RunningWeir, eventually, running_weir, write_config

THINGS = ("card", "password", "parcel", "invoice", "grinder", "filter", "coupon", "newsletter", "warranty")
THINGS += ("address", "cup", "basket", "subscription", "kettle")
ASKED, REWORDED = "How do I change my {}?", "how can I change my {}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    knowledge = tmp_path / "knowledge.jsonl"
    with knowledge.open("w") as file:
        for thing in THINGS:
            questions = [ASKED.format(thing), REWORDED.format(thing)]
            file.write(json.dumps({"questions": questions, "answer": f"Open the page of your {thing}."}) + "\n")
    return write_config(
        tmp_path,
        cache={"matching": {"least_labels": 5}},
        upstreams={"scripted": {"kind": "scripted", "knowledge": "knowledge.jsonl"}},
        models={"good": {"upstream": "scripted", "name": "knowledge", "price": {"input": "1", "output": "4"}}},
        routes={
            "auto": {
                "candidates": ["good"],
                "cache": {"semantic": {"max_wrong_hits": 0.3, "audit_share": 1}, "live": []},
            }
        },
    )


@pytest.fixture
def weir(config: Path, tmp_path: Path) -> Iterator[RunningWeir]:
    with running_weir(config, tmp_path / "state") as running:
        eventually(lambda: "weir_encoder_up 1.0" in running.get("/metrics", running.admin_key)[1])
        yield running


def ask(weir: RunningWeir, text: str, **more: Any) -> tuple[str, str, Any]:
    """The cache's verdict, what was answered, and the headers."""
    reply = weir.client().chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": text}], **more
    )
    if more.get("stream"):
        said = "".join(chunk.choices[0].delta.content or "" for chunk in reply.parse() if chunk.choices)
    else:
        said = reply.parse().choices[0].message.content
    return reply.headers["x-weir-cache"], said, reply.headers


def answers(thing: str, said: str) -> bool:
    return said.startswith(f"Open the page of your {thing}.")


def known(weir: RunningWeir, least: int) -> None:
    """Wait until so many questions can be found by meaning."""

    def enough() -> bool:
        status, stats = weir.admin("GET", "/admin/v1/cache")
        assert status == 200
        return bool(stats["questions"] >= least)

    eventually(enough)


def teach(weir: RunningWeir, things: tuple[str, ...] = THINGS[:-1]) -> None:
    """Ask for things twice, in other words: labels, until the cache may answer by itself."""
    for place, thing in enumerate(things):
        ask(weir, ASKED.format(thing))
        known(weir, place + 1)
    for thing in things:
        ask(weir, REWORDED.format(thing))
    eventually(lambda: weir.admin("GET", "/admin/v1/cache")[1]["scopes"][0]["threshold"] is not None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_in_other_words_is_answered_audited_and_explained(weir: RunningWeir, stream: bool) -> None:
    teach(weir)
    before = weir.admin("GET", "/admin/v1/cache")[1]["questions"]
    ask(weir, ASKED.format("kettle"))
    known(weir, before + 1)
    verdict, said, headers = ask(weir, REWORDED.format("kettle"), stream=stream)
    assert (verdict, answers("kettle", said)) == ("semantic", True)
    decision = weir.decision(headers["x-weir-request-id"], "sk-weir-demo-acme")
    assert decision["cache"]["verdict"] == "semantic"
    assert decision["cache"]["entry_id"] == headers["x-weir-cache-entry"]
    assert decision["cache"]["similarity"] == pytest.approx(float(headers["x-weir-cache-similarity"]), abs=1e-4)
    assert (decision["cost_usd"], decision["saved_usd"] != "0") == ("0", True)
    assert ask(weir, REWORDED.format("kettle"), extra_headers={"x-weir-cache": "exact"})[0] in ("miss", "exact")

    eventually(lambda: weir.admin("GET", "/admin/v1/cache")[1]["scopes"][0]["audited"])
    metrics = weir.get("/metrics", weir.admin_key)[1]
    assert 'weir_cache_wrong_hits{owner="acme",route="auto"} 0.0' in metrics
    assert 'weir_own_requests_total{purpose="audit",route="auto",status="200"}' in metrics
    shown = json.loads(weir.weir("cache", "stats", "--config", str(weir.config), "--base-url", weir.url, "--json"))
    assert shown["scopes"][0]["audited"]["wrong"] == 0


def test_a_reported_answer_is_not_served_again(weir: RunningWeir) -> None:
    teach(weir)
    _, _, headers = ask(weir, ASKED.format("card"))
    assert headers["x-weir-cache"] == "exact"
    path = f"/v1/decisions/{headers['x-weir-request-id']}/report"
    status, body = weir.send("POST", path, "sk-weir-demo-acme", {"reason": "not my card"})
    assert (status, body["quarantined"]) == (200, True)
    assert ask(weir, ASKED.format("card"))[0] != "exact"


def encoder_pid(weir: RunningWeir) -> int | None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == weir.process.pid and b"encoder.child" in folder.joinpath("cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    return None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the encoder's process through /proc")
def test_without_its_encoder_exact_hits_go_on_and_the_header_says_so(weir: RunningWeir) -> None:
    teach(weir)
    pid = encoder_pid(weir)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # not dead yet, and that is worse
    verdict, said, headers = ask(weir, "how might I change my password")
    assert (verdict, said != "", headers["x-weir-degraded"]) == ("miss", True, "encoder")
    os.kill(pid, signal.SIGKILL)
    verdict, said, headers = ask(weir, ASKED.format("card"))
    assert (verdict, answers("card", said), headers.get("x-weir-degraded")) == ("exact", True, None)
    assert ask(weir, ASKED.format("saucer"))[2]["x-weir-degraded"] == "encoder"
    eventually(lambda: encoder_pid(weir) not in (None, pid))
    eventually(lambda: "x-weir-degraded" not in ask(weir, f"How do I change my {uuid4().hex[:6]}?")[2])
    assert 'weir_degraded_total{part="encoder"}' in weir.get("/metrics", weir.admin_key)[1]


def test_a_weir_that_was_killed_starts_warm(config: Path, tmp_path: Path) -> None:
    with running_weir(config, tmp_path / "state") as weir:
        eventually(lambda: "weir_encoder_up 1.0" in weir.get("/metrics", weir.admin_key)[1])
        teach(weir)
        revision = weir.send("DELETE", "/v1/cache/tags/faq", "sk-weir-demo-acme")[1]["revision"]
        _, said, _ = ask(weir, ASKED.format("card"))
        snapshot = tmp_path / "state/cache/0.snapshot"
        eventually(
            lambda: (
                snapshot.exists() and b"subscription" in snapshot.read_bytes() and b"faq" in snapshot.read_bytes()
            )
        )
        weir.kill()
    with snapshot.open("ab") as file:
        file.write(b"\x00\x00\x10\x00 a record that was cut off")
    with running_weir(config, tmp_path / "state") as weir:
        assert ask(weir, ASKED.format("card"))[:2] == ("exact", said)
        stats = weir.admin("GET", "/admin/v1/cache")[1]
        assert stats["questions"] >= len(THINGS) - 1
        assert stats["revision"] == revision
        for thing in THINGS[:-1]:
            verdict, said, _ = ask(weir, ASKED.format(thing))
            assert (verdict, answers(thing, said)) == ("exact", True)


@pytest.mark.redis
def test_replicas_share_answers_and_invalidations(config: Path, tmp_path: Path) -> None:
    config.write_text(
        config.read_text().replace("cache:\n  matching", "cache:\n  shared: ${WEIR_REDIS_URL}\n  matching")
    )
    with ExitStack() as stack:
        url = stack.enter_context(empty_redis())
        first, second = (
            stack.enter_context(running_weir(config, tmp_path / name, WEIR_REDIS_URL=url)) for name in ("a", "b")
        )
        for weir in (first, second):
            eventually(lambda weir=weir: "weir_cache_spread_up 1.0" in weir.get("/metrics", weir.admin_key)[1])
        word = uuid4().hex[:8]
        verdict, said, _ = ask(first, ASKED.format(word), extra_headers={"x-weir-cache-tags": word})
        assert verdict == "miss"
        eventually(lambda: second.admin("GET", f"/admin/v1/cache/entries?tag={word}")[1]["data"])
        assert ask(second, ASKED.format(word))[:2] == ("exact", said)
        second.send("DELETE", f"/v1/cache/tags/{word}", "sk-weir-demo-acme")
        eventually(lambda: first.admin("GET", f"/admin/v1/cache/entries?tag={word}")[1]["data"][0]["stale"])
        assert ask(first, ASKED.format(word))[0] == "miss"


def reconnect(weir: RunningWeir) -> None:
    """The next request comes to whichever worker takes the new connection."""
    for client in weir.clients.values():
        client.close()
    weir.clients.clear()


def test_workers_share_what_is_taken_back(config: Path, tmp_path: Path) -> None:
    with running_weir(config, tmp_path / "state", workers=2) as weir:
        for _ in range(12):  # until both have it
            reconnect(weir)
            ask(weir, ASKED.format("card"))
        weir.send("DELETE", "/v1/cache/tags/route:auto", "sk-weir-demo-acme")

        def gone() -> bool:
            verdicts = []
            for _ in range(8):
                reconnect(weir)
                verdicts.append(ask(weir, ASKED.format("card"), extra_headers={"cache-control": "no-store"})[0])
            entries = [weir.admin("GET", "/admin/v1/cache/entries?tag=route:auto")[1]["data"] for _ in range(8)]
            return all(entry["stale"] for some in entries for entry in some)

        eventually(gone)
