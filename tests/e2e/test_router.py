"""The router as a user has it: trained and promoted by its verbs, deciding in a real Weir, seen by the client."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_knowledge import Knowledge
from tests.e2e.running import ROOT, UNWANTED, RunningWeir, eventually, imported_by, running_weir, write_config
from tests.tiny_gguf import write_tiny_gguf

pytest.importorskip("lightgbm")
pytest.importorskip("sklearn")

KNOWLEDGE = ROOT / "examples/support/knowledge.jsonl"
INTENTS = ROOT / "examples/support/intents.jsonl"
SMALL, LARGE = "novice-60", "expert"
MODELS = {
    "small": {"upstream": "scripted", "name": SMALL, "price": {"input": "0.1", "output": "0.4"}},
    "large": {"upstream": "scripted", "name": LARGE, "price": {"input": "5", "output": "20"}},
}
CHECKED: dict[str, Any] = {
    "kind": "learned",
    "goal": {"quality_floor": 0.2},
    "sureness": 10,  # nothing is sure
    "check": {"first_tokens": 12},
}


@cache
def knowledge() -> Knowledge:
    return Knowledge.load(KNOWLEDGE)


def says(model: str, question: str) -> tuple[str, float]:
    """What a scripted model answers, and how much it doubts that."""
    answer = reply(script(model), {"messages": [{"role": "user", "content": question}]}, knowledge())
    return answer.text, answer.doubt


@cache
def questions() -> tuple[list[str], list[str]]:
    """Such as the small model knows, and such as it guesses at and doubts."""
    asked = [
        phrasing["text"]
        for line in INTENTS.read_text().splitlines()
        for phrasing in json.loads(line)["phrasings"]
        if phrasing["lang"] == "en"
    ]
    known = [text for text in asked if says(SMALL, text) == (says(LARGE, text)[0], 0.0)]
    guessed = [
        text for text in asked if says(SMALL, text)[0] != says(LARGE, text)[0] and says(SMALL, text)[1] > 0.8
    ]
    return known, guessed


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outcomes") / "outcomes.jsonl"
    known, guessed = questions()
    with path.open("w") as file:
        for text, score in [*((text, 1) for text in known[:150]), *((text, 0) for text in guessed[:60])]:
            file.write(json.dumps({"query": text, "model": "large", "score": 1}) + "\n")
            file.write(json.dumps({"query": text, "model": "small", "score": score}) + "\n")
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, outcomes: Path) -> Path:
    """A state folder whose registry has an artefact in production, made with the verbs."""
    folder = tmp_path_factory.mktemp("learned")
    intents = folder / "intents.jsonl"
    intents.write_text("".join(line + "\n" for line in INTENTS.read_text().splitlines()[:8]))
    config = configured(folder, CHECKED)
    train(config, folder, outcomes, "--intents", str(intents), promote=True)
    return folder


def verb(config: Path, state: Path, *arguments: str) -> str:
    return RunningWeir(None, "", config, state).weir(*arguments)  # type: ignore[arg-type]


def train(config: Path, state: Path, outcomes: Path, *more: str, promote: bool = False) -> str:
    about = ("--config", str(config), "--route", "auto", "--tenant", "acme")
    version = json.loads(
        verb(config, state, "router", "train", *about, "--outcomes", str(outcomes), *more, "--json")
    )["version"]
    if promote:
        verb(config, state, "router", "promote", *about, version, "--force", "--reason", "a test")
    return str(version)


def configured(folder: Path, policy: dict[str, Any], **route: Any) -> Path:
    return write_config(
        folder,
        upstreams={"scripted": {"kind": "scripted", "knowledge": str(KNOWLEDGE)}},
        models=MODELS,
        routes={
            "auto": {"candidates": ["large", "small"], "policy": policy, "cache": {"enabled": False}, **route},
        },
    )


@pytest.fixture
def weir(tmp_path: Path, learned: Path) -> Iterator[RunningWeir]:
    """A Weir that checks what is unsure."""
    shutil.copytree(learned / "registry", tmp_path / "state/registry")
    with running_weir(configured(tmp_path, CHECKED), tmp_path / "state") as running:
        ready(running)
        yield running


def ready(weir: RunningWeir) -> None:
    eventually(lambda: "weir_encoder_up 1.0" in metrics(weir))


def metrics(weir: RunningWeir) -> str:
    return str(weir.get("/metrics", weir.admin_key)[1])


def ask(weir: RunningWeir, text: str, *, stream: bool = False) -> tuple[str, Any]:
    """What was answered, and the headers."""
    answer = weir.client().chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": text}], stream=stream
    )
    if not stream:
        return answer.parse().choices[0].message.content or "", answer.headers
    chunks = list(answer.parse())
    assert all(choice.logprobs is None for chunk in chunks for choice in chunk.choices)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), answer.headers


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_unsure_answer_escalates_and_both_calls_are_paid_for(weir: RunningWeir, stream: bool) -> None:
    known, guessed = questions()
    for text, model in ((known[3], "small"), (guessed[3], "large")):
        said, headers = ask(weir, text, stream=stream)
        decision = eventually(lambda h=headers: weir.decision(h["x-weir-request-id"]))
        assert decision["decision"]["outlook"] == "unsure"
        assert said == says({"small": SMALL, "large": LARGE}[model], text)[0]
        assert headers["x-weir-model"] == decision["model"] == model
        check = decision["decision"]["check"]
        assert (check["model"], check["escalated"]) == ("small", model == "large")
        assert check["signals"]["mean_logp"] < 0 and check["reasons"]
        tried = [(attempt["model"], attempt["cost"] is not None) for attempt in decision["attempts"]]
        assert tried == ([("small", False)] if model == "small" else [("small", True), ("large", False)])
        own = Decimal(decision["cost_usd"])
        dropped = sum(Decimal(attempt["cost"]) for attempt in decision["attempts"] if attempt["cost"])
        assert (dropped > 0) == (model == "large") and own > dropped
        if not stream:
            assert Decimal(headers["x-weir-cost"]) == own


def test_intents_and_explanations_come_from_what_was_learned(weir: RunningWeir) -> None:
    _, headers = ask(weir, "How do I reset my password?")
    assert headers["x-weir-intent"] == "reset_password"
    before = metrics(weir)
    about = ("--config", str(weir.config), "--base-url", weir.url)
    told = json.loads(weir.weir("route", "explain", "How do I reset my password?", *about, "--json"))
    decision = told["decision"]
    assert decision["intent"] == "reset_password"
    assert {one["model"] for one in decision["candidates"]} == {"small", "large"}
    assert all(one["interval"][0] <= one["quality"] <= one["interval"][1] for one in decision["candidates"])
    assert len(decision["nearest"]) > 1 and decision["otherwise"]
    shown = weir.weir("route", "explain", "How do I reset my password?", *about)
    assert "reset_password" in shown and "small" in shown
    counted = [line for line in before.splitlines() if line.startswith("weir_requests_total")]
    assert counted == [line for line in metrics(weir).splitlines() if line.startswith("weir_requests_total")]


def test_before_anything_was_promoted_the_default_model_answers(tmp_path: Path, outcomes: Path) -> None:
    with running_weir(configured(tmp_path, CHECKED), tmp_path / "state") as weir:
        ready(weir)
        _, headers = ask(weir, questions()[0][0])
        assert (headers["x-weir-model"], headers["x-weir-degraded"]) == ("large", "router")
        assert 'weir_degraded_total{part="router"} 1.0' in metrics(weir)
        version = train(weir.config, tmp_path / "state", outcomes, promote=True)
        folder = next((tmp_path / "state/registry").rglob(version))
        eventually(lambda: "x-weir-degraded" not in ask(weir, questions()[0][0])[1])
    quality = folder / "quality.npz"
    quality.chmod(0o600)
    quality.write_bytes(quality.read_bytes()[:-1000])
    with running_weir(configured(tmp_path, CHECKED), tmp_path / "state") as weir:
        ready(weir)
        _, headers = ask(weir, questions()[0][0])
        assert (headers["x-weir-model"], headers["x-weir-degraded"]) == ("large", "router")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_without_the_encoder_the_default_model_answers(weir: RunningWeir, blow: signal.Signals) -> None:
    child = encoder_of(weir)
    os.kill(child, blow)
    try:
        _, headers = ask(weir, questions()[0][5])
        assert (headers["x-weir-model"], headers["x-weir-degraded"]) == ("large", "encoder")
        assert 'weir_degraded_total{part="encoder"} 1.0' in metrics(weir)
    finally:
        if blow == signal.SIGSTOP:
            os.kill(child, signal.SIGCONT)
    eventually(lambda: "x-weir-degraded" not in ask(weir, questions()[0][6])[1], 30)


def encoder_of(weir: RunningWeir) -> int:
    """The process id of its encoder."""
    children = Path(f"/proc/{weir.process.pid}/task/{weir.process.pid}/children").read_text().split()
    return next(int(child) for child in children if b"encoder" in Path(f"/proc/{child}/cmdline").read_bytes())


def test_what_is_odd_or_huge_is_decided_all_the_same(weir: RunningWeir) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    for content in (
        "",
        "   ",
        "😀" * 500,
        "Как мне сбросить пароль?",
        "word " * 100_000,
        "a\u0301" * 5_000,
        [image, {"type": "text", "text": "What is this?"}],
        [image],
        [],
    ):
        status, body = weir.send(
            "POST",
            "/v1/chat/completions",
            "sk-weir-demo-acme",
            {"model": "auto", "messages": [{"role": "user", "content": content}], "max_tokens": 5},
        )
        assert status == 200, (str(content)[:40], body)


def test_what_was_learned_is_served_without_what_learned_it(tmp_path: Path, learned: Path) -> None:
    shutil.copytree(learned / "registry", tmp_path / "state/registry")

    def use(weir: RunningWeir) -> None:
        eventually(lambda: "x-weir-degraded" not in ask(weir, "How do I reset my password?")[1])

    imported = imported_by(configured(tmp_path, CHECKED), tmp_path / "state", use)
    assert {"heads.quality", "heads.intents", "heads.checks"} <= imported
    assert not {name.split(".")[0] for name in imported} & UNWANTED


def test_a_route_learns_from_its_own_traffic(tmp_path: Path) -> None:
    config = configured(tmp_path, {"kind": "fixed"}, learning={"shadow_share": 1})
    known, guessed = questions()
    with running_weir(config, tmp_path / "state") as weir:
        for number, text in enumerate((*known[:45], *guessed[:45]), 1):
            _, headers = ask(weir, text)
            if number % 5 == 0:  # no more than eight are asked at a time, and the rest would be skipped
                eventually(lambda n=number: f"weir_shadow_calls_total {n}.0" in metrics(weir), 30)
        status, told = weir.send(
            "POST",
            f"/v1/decisions/{headers['x-weir-request-id']}/feedback",
            "sk-weir-demo-acme",
            {"score": 0.5},
        )
        assert (status, told["learned"]) == (200, True)
        file = tmp_path / "state/outcomes/acme.jsonl"
        eventually(lambda: file.exists() and file.read_text().count('"source":"shadow"') >= 180)
        eventually(lambda: '"source":"feedback"' in file.read_text())
        own = 'weir_own_requests_total{purpose="shadow",route="direct",status="200"} 90.0'
        assert own in metrics(weir)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    scores = {line["query"]: line["score"] for line in lines if line.get("model") == "small" and "score" in line}
    assert {scores[text] for text in known[:45]} == {1.0}
    assert sum(scores[text] for text in guessed[:45]) < 5
    with running_weir(
        configured(tmp_path, {"kind": "learned", "goal": {"share": 0.5}}), tmp_path / "state"
    ) as weir:
        about = ("--config", str(weir.config), "--route", "auto", "--tenant", "acme")
        version = json.loads(weir.weir("router", "train", *about, "--json"))["version"]
        weir.weir("router", "promote", *about, version, "--rule", "least_queries=50", "--rule", "least_apgr=0.4")
        tried = json.loads(weir.weir("router", "evaluate", *about, "production", "--json"))
        direct = {name: one["rewards"]["direct"]["value"] for name, one in tried["policies"].items()}
        random = next(value for name, value in direct.items() if name.startswith("random"))
        assert direct["learned"] > random + 0.05
        assert direct["all large"] > 0.99  # one answer of it got half a point
        log = weir.weir("registry", "log", "--json")
        assert version in log and "point" in log


@pytest.mark.gguf
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_real_model_is_judged_by_its_own_probabilities(tmp_path: Path, learned: Path, stream: bool) -> None:
    shutil.copytree(learned / "registry", tmp_path / "state/registry")
    local = {"kind": "gguf", "path": str(write_tiny_gguf(tmp_path / "tiny.gguf"))}
    policy = {**CHECKED, "goal": {"quality_floor": 0.9}}
    config = write_config(
        tmp_path,
        upstreams={"scripted": {"kind": "scripted", "knowledge": str(KNOWLEDGE)}, "local": local},
        models={**MODELS, "small": {**MODELS["small"], "upstream": "local", "name": "tiny"}},
        routes={"auto": {"candidates": ["large", "small"], "policy": policy, "cache": {"enabled": False}}},
    )
    with running_weir(config, tmp_path / "state") as weir:
        ready(weir)
        answer = weir.client().chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "hello"}], stream=stream, max_tokens=16
        )
        if stream:
            list(answer.parse())
        else:
            answer.parse()
        told = weir.decision(answer.headers["x-weir-request-id"])
        check = told["decision"]["check"]
        assert (check["model"], check["degraded"]) == ("small", "")
        assert -10 < check["signals"]["mean_logp"] < -0.2  # a random model knows nothing
        assert {"entropy", "margin", "lowest"} <= check["signals"].keys()
        assert check["escalated"] and answer.headers["x-weir-model"] == "large"
        assert Decimal(told["attempts"][0]["cost"]) > 0
