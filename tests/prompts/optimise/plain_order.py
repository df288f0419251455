"""Orders over a part of the example business, and a plain optimiser, for tests of the whole story."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import yaml

from evals.runner.plan import body_of
from evals.suite import Suite, read_suite
from prompts.optimise.calls import FILE
from prompts.optimise.order import Order
from prompts.optimise.ports import Expected, Search
from prompts.prompt import INSTRUCTIONS, BookedPrompt
from router.config.load import load

EXAMPLE = Path(__file__).parents[3] / "examples/support"
BARE = "You are the assistant of Tolvana Coffee. Be polite."
GOOD = (EXAMPLE / "prompts/support.md").read_text(encoding="utf-8").strip()


def config_in(folder: Path, **changes: Any) -> Path:
    """A configuration whose one model answers as well as its prompt tells it to."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "support.md").write_text(BARE, encoding="utf-8")
    price = {"input": "1.25", "output": "10"}
    told = {
        "upstreams": {"stand-in": {"kind": "scripted", "knowledge": str(EXAMPLE / "knowledge.jsonl")}},
        "models": {"attentive": {"upstream": "stand-in", "name": "attentive", "price": price}},
        "prompts": {"support": {"file": "support.md", "most_tokens": 600}},
        "routes": {
            "support": {"candidates": ["attentive"], "prompt": "support"},
            "bare": {"candidates": ["attentive"]},
        },
        "tenants": {"acme": {}},
        **changes,
    }
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return path


def suite_in(folder: Path, every: int = 3) -> Suite:
    """Each third case of the example's suite."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (EXAMPLE / "suite/cases.jsonl").read_bytes().splitlines(keepends=True)
    rows = [{**orjson.loads(line), "cluster": None} for line in lines[::every]]
    (folder / "cases.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    (folder / "suite.yaml").write_bytes((EXAMPLE / "suite/suite.yaml").read_bytes())
    return read_suite(folder)


def order_in(folder: Path, **changes: Any) -> Order:
    path = config_in(folder)
    loaded = load(path, {})
    told: dict[str, Any] = {
        "loaded": loaded,
        "path": path,
        "state": folder / "state",
        "route": "support",
        "name": "support",
        "prompt": loaded.prompts["support"],
        "tenant": "acme",
        "suite": suite_in(folder / "suite"),
        "optimiser": "gepa",
        "folder": folder / "out",
        "reflect_with": "attentive",
        "most_tokens": 600,
    }
    return Order(**{**told, **changes})


def with_budget(order: Order, dollars: str) -> Order:
    return replace(order, budget=Decimal(dollars))


def nothing(_: int) -> None: ...


@dataclass
class Tries:
    """Implements `prompts.optimise.ports.Optimiser`: tries `texts`. `before_call` is told which call comes."""

    texts: tuple[str, ...] = (GOOD,)
    before_call: Callable[[int], None] = nothing
    name: str = "tries"
    tunes: str = "instructions"
    reflections: int = 0
    calls: int = field(default=0, init=False)

    def split(self, cases: int) -> float:
        return 0.3

    def expected(self, search: Search) -> Expected:
        return Expected(task=len(search.parts.validation) * (1 + len(self.texts)), reflection=self.reflections)

    def best(self, search: Search) -> BookedPrompt:
        found: list[tuple[float, BookedPrompt]] = []
        for prompt in [search.prompt, *(search.prompt.tuned({INSTRUCTIONS: text}) for text in self.texts)]:
            total = 0.0
            for case in search.parts.validation:
                self.calls += 1
                self.before_call(self.calls)
                messages = prompt.filled(search.slots).apply(body_of(case, {}), "chat/completions")["messages"]
                answer = search.line.task(case, messages, version=prompt.version)
                value = search.line.mark(case, answer).value
                search.told(prompt, case, value)
                total += value
            found.append((total, prompt))
        return max(found, key=lambda one: one[0])[1]


def sent(order: Order) -> list[str]:
    """What the search sent, in all its starts: a key for each call."""
    return [key for key in all_sent(order) if not key.startswith("test-")]


def all_sent(order: Order) -> list[str]:
    """With what its test sent."""
    lines = (order.folder / FILE).read_bytes().splitlines()
    return [found["sent"] for line in lines if "sent" in (found := orjson.loads(line))]
