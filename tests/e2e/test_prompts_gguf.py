"""A prompt is optimised with a real small language model: that ends well, whatever it gains, and leaves nothing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from evals.run_folder import read_run
from evals.suite import read_suite
from prompts.optimise.calls import FILE
from prompts.optimise.optimisation import optimise, prepared
from prompts.optimise.order import Order
from prompts.optimise.trial import Scoring
from prompts.optimise.watching import Stop
from registry.prompts import PROMPT
from registry.store import Registry
from router.config.load import load
from tests.e2e.running import ROOT
from tests.evals.runner.plain import no_encoder
from tests.tiny_gguf import write_tiny_gguf

pytest.importorskip("xllamacpp")
pytest.importorskip("dspy")
pytestmark = pytest.mark.gguf

PRICE = {"input": "0.1", "output": "0.4"}
QUESTIONS = ("hello", "how much?", "when?", "where is it?", "who?", "why not?", "is it late?", "what now?")
"""Short ones: the model has 512 tokens for a prompt with its demonstrations, a byte each."""
SUITE = """\
name: desk
description: What is babbled, and whether there is a pattern in it.
scorers: [{{kind: regex, pattern: "{pattern}"}}]
request: {{max_tokens: 8, temperature: 0}}
"""


def order_in(folder: Path, optimiser: Any, pattern: str) -> Order:
    """The route's model is a real one that was never taught anything; the one that writes is scripted."""
    (folder / "prompt.md").write_text("Be kind.", encoding="utf-8")
    local = {"kind": "gguf", "path": str(write_tiny_gguf(folder / "tiny.gguf"))}
    scripted = {"kind": "scripted", "knowledge": str(ROOT / "examples/support/knowledge.jsonl")}
    told = {
        "upstreams": {"local": local, "scripted": scripted},
        "models": {
            "tiny": {"upstream": "local", "name": "tiny", "price": PRICE},
            "editor": {"upstream": "scripted", "name": "editor", "price": PRICE},
        },
        "prompts": {"desk": {"file": "prompt.md", "most_tokens": 200}},
        "routes": {"desk": {"candidates": ["tiny"], "prompt": "desk", "cache": {"enabled": False}}},
        "tenants": {"acme": {}},
    }
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    suite = folder / "suite"
    suite.mkdir()
    (suite / "suite.yaml").write_text(SUITE.format(pattern=pattern), encoding="utf-8")
    cases = [{"id": f"c{place}", "input": text, "expected": {}} for place, text in enumerate(QUESTIONS)]
    (suite / "cases.jsonl").write_bytes(b"".join(orjson.dumps(case) + b"\n" for case in cases))
    loaded = load(path, {})
    return Order(
        loaded=loaded,
        path=path,
        state=folder / "state",
        route="desk",
        name="desk",
        prompt=loaded.prompts["desk"],
        tenant="acme",
        suite=read_suite(suite),
        optimiser=optimiser,
        folder=folder / "out",
        reflect_with="editor",
        budget=Decimal(1),
        concurrency=2,
        most_tokens=200,
        most_demonstrations=1,
    )


def models_running() -> list[str]:
    """Children of this process that run a model."""
    children = [
        pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    return [pid for pid in children if b"gguf_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("optimiser", "pattern"),
    [
        pytest.param("bootstrap", "[aeiou]{2}", id="bootstrap, which shows what it says already"),
        pytest.param("gepa", "^xk", id="gepa, for what it says under other instructions"),
    ],
)
def test_a_search_with_a_real_model_comes_to_its_end(tmp_path: Path, optimiser: str, pattern: str) -> None:
    order = order_in(tmp_path, optimiser, pattern)
    ready, running = prepared(order, Scoring(no_encoder)), set[str]()
    outcome = optimise(ready, by="somebody", stop=Stop(), watch=lambda _: running.update(models_running()))
    assert outcome.came_to in ("refused", "nothing"), "so few cases show nothing"
    assert running, "a real model was asked"
    assert models_running() == []

    lines = [orjson.loads(line) for line in (order.folder / FILE).read_bytes().splitlines()]
    answers = [line["answer"] for line in lines if not line.get("answered", "test-").startswith("test-")]
    babble = [answer["text"] for answer in answers if answer["model"] == "tiny"]
    assert len(babble) >= len(ready.parts.validation)
    assert any(babble), "it says something, whatever that is worth"
    assert not any("failed" in line for line in lines)
    assert outcome.searched == sum(Decimal(answer["cost"]) for answer in answers)

    if outcome.found is not None:  # another processor rounds otherwise, and babbles otherwise
        asked = {read_run(order.folder / name).manifest.cases for name in ("before", "after")}
        assert asked == {len(ready.parts.test)}
        assert outcome.found.version in Registry(order.state / "registry").versions(PROMPT, "desk")
    assert Registry(order.state / "registry").aliases(PROMPT, "desk") == {}
