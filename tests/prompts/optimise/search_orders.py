"""Orders of searches, and a Weir in memory that they are asked of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from evals.records import Answer
from evals.suite import read_suite
from evals.targets.port import Price
from prompts.optimise.order import Order
from prompts.prompt import BookedPrompt
from router.config.load import load
from tests.evals.runner.plain import PlainPrice, questions, write_suite

CONFIG: Mapping[str, Any] = {
    "upstreams": {"scripted": {"kind": "scripted"}},
    "models": {
        "mirror": {"upstream": "scripted", "price": {"input": "1", "output": "2"}},
        "echo": {"upstream": "scripted", "price": {"input": "3", "output": "1"}},
    },
    "prompts": {"tone": {"file": "tone.md"}},
    "routes": {"auto": {"candidates": ["mirror"], "prompt": "tone"}},
    "tenants": {"acme": {}},
}


def search_order(
    folder: Path,
    *,
    cases: int = 6,
    config: Mapping[str, Any] = CONFIG,
    scorers: str = "[contains_facts]",
    request: Mapping[str, Any] = {},
    **changes: Any,
) -> Order:
    """Of a suite whose questions are their own right answers."""
    (folder / "tone.md").write_text("Be brief.")
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    suite = folder / "suite"
    if not suite.exists():
        write_suite(suite, questions(cases), scorers=scorers)
    told: dict[str, Any] = {
        "loaded": load(path, {}),
        "path": path,
        "state": folder / "state",
        "route": "auto",
        "name": "tone",
        "prompt": BookedPrompt.plain("Be brief.", "prepend"),
        "tenant": "acme",
        "suite": replace(read_suite(suite), request=request),
        "optimiser": "gepa",
        "folder": folder / "search",
        "reflect_with": "echo",
        "most_tokens": 4000,
        "timeout_s": 20.0,
    }
    return Order(**{**told, **changes})


@dataclass
class PlainWeir:
    """Answers what `reply` says to a body, or raises it. `billed` are dollars, `bodies` all that it was sent."""

    reply: Callable[[Mapping[str, Any]], Answer | Exception]
    takes_s: float = 0.0
    priced: bool = True
    name: str = "auto"
    billed: Decimal = Decimal(0)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    now: int = 0
    most: int = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def ask(
        self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "", rendered: str = ""
    ) -> Answer:
        self.bodies.append({**body, "model": model, "rendered": rendered})
        self.asked[body["messages"][-1]["content"]] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.now -= 1
        said = self.reply({**body, "model": model})
        if isinstance(said, Exception):
            raise said
        usual = PlainPrice().cost(said.prompt_tokens, said.completion_tokens)
        self.billed += usual if said.cost is None else said.cost
        return said

    def price(self, model: str = "") -> Price | None:
        return PlainPrice() if self.priced else None
