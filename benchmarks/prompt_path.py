"""What a prompt costs on the way of a request, beside a route that has none, in the same run.

    .venv/bin/python benchmarks/prompt_path.py
    .venv/bin/python benchmarks/prompt_path.py --requests 2000 --rounds 20 --json

Requests go through the pipeline of a whole Weir in this process, from bytes to the settled event; the upstream
costs nothing. In each round each route is asked as many questions, so that a ratio compares neighbours in time;
the median of the rounds is told. Below are the steps that prompts add, each by itself.

Demonstrations and long instructions make the request longer, which costs wherever it is read: what is sent is
counted in tokens, and hashed for the cache. That is in the figures, as it is in a request.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop
import yaml
from rich.console import Console

from benchmarks.parts import answered, over
from benchmarks.scenes import tell
from benchmarks.systems import weir_config
from prompts.prompt import INSTRUCTIONS
from registry.prompts import StoredPrompts, promote, put
from registry.store import Registry
from router.composition import book_of
from router.config.load import Loaded, load
from router.main import House

_TEXT = (
    "You are the assistant of a shop. " + "Answer in two to four sentences; name prices as they are stated. " * 4
)
_SHOWN = [
    {
        "user": f"What does a delivery to place {place} cost?",
        "assistant": "It is free from $40 on, and $5 below. " * 3,
    }
    for place in range(4)
]
_ROUTES: Mapping[str, str] = {
    "none": "no prompt",
    "text": "a text",
    "shown": "slots and 4 demonstrations",
    "promoted": "the same, promoted",
}
"""What is told of each route; all but the first have a prompt of that name."""
_YOUNG_S = 5.0
"""Older than that is a registry in use: one that changed within a second is read at every look."""


@dataclass(frozen=True)
class Way:
    """`us` microseconds of CPU for a request; `ratio` to one without a prompt, and what is `added` to it."""

    prompt: str
    us: float
    ratio: float
    added_us: float


@dataclass(frozen=True)
class Step:
    step: str
    us: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500, help="of each route in a round (500)")
    parser.add_argument("--rounds", type=int, default=30, help="(30)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-prompt-path-") as folder:
        ways, steps = uvloop.run(measured(Path(folder), asked.requests, asked.rounds))
    if asked.json:
        print(
            json.dumps({"benchmark": "prompt_path", "ways": [*map(asdict, ways)], "steps": [*map(asdict, steps)]})
        )
        return
    tell([*map(asdict, ways)], {}, as_json=False, title="A request through the pipeline")
    for step in steps:
        Console(highlight=False).print(f"{step.us:7.2f} us  {step.step}")


async def measured(folder: Path, requests: int, rounds: int) -> tuple[list[Way], list[Step]]:
    """Each route so often in each round, after one that is not counted."""
    config, state = _config(folder), folder / "state"
    loaded = load(config, {})
    _promote(loaded, Registry(state / "registry"))
    house = House(loaded, config, state=state, bound_to="127.0.0.1")
    await house.open()
    took: dict[str, list[float]] = {route: [] for route in _ROUTES}
    try:
        over(house, [])
        for number in range(rounds + 1):
            for route, found in took.items():
                bodies = [_body(route, f"Question {number} {each}") for each in range(requests)]
                us = await answered(house, bodies)
                if number:
                    found.append(us)
    finally:
        await house.close()
    return [_way(route, took) for route in _ROUTES], _steps(loaded, state)


def _config(folder: Path) -> Path:
    (folder / "text.md").write_text(_TEXT, encoding="utf-8")
    sections = [
        {"name": INSTRUCTIONS, "text": f"{_TEXT} You work for {{{{ company }}}}, and the shop is {{{{ shop }}}}."}
    ]
    told = {"sections": sections, "slots": {"company": "ours", "shop": "the usual one"}, "demonstrations": _SHOWN}
    for name in ("shown", "promoted"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    config = weir_config("http://127.0.0.1:9")
    config["prompts"] = {
        "text": {"file": "text.md"},
        "shown": {"file": "shown.yaml"},
        "promoted": {"file": "promoted.yaml"},
    }
    config["routes"] = {
        name: {"candidates": ["mock"], **({} if name == "none" else {"prompt": name})} for name in _ROUTES
    }
    config["tenants"]["acme"]["slots"] = {"company": "Acme"}
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _promote(loaded: Loaded, registry: Registry) -> None:
    """As long ago as for a Weir in use; a version as long as the file, so that what it says costs the same."""
    file = loaded.prompts["promoted"]
    found = file.tuned({INSTRUCTIONS: file.sections[0].text.replace("of a shop", "of a firm")})
    version = put(registry, "promoted", found.content, "benchmark")
    promote(registry, "promoted", file.content, version, by="benchmark", reason="to be measured")
    revision = registry.folder / "revision"
    then = revision.stat().st_mtime - _YOUNG_S
    os.utime(revision, (then, then))


def _body(route: str, question: str) -> bytes:
    return orjson.dumps({"model": route, "messages": [{"role": "user", "content": question}]})


def _way(route: str, took: Mapping[str, Sequence[float]]) -> Way:
    beside = [(us, bare) for us, bare in zip(took[route], took["none"], strict=True)]
    return Way(
        prompt=_ROUTES[route],
        us=statistics.median(took[route]),
        ratio=statistics.median(us / bare for us, bare in beside),
        added_us=statistics.median(us - bare for us, bare in beside),
    )


def _steps(loaded: Loaded, state: Path) -> list[Step]:
    registry = Registry(state / "registry")
    store = StoredPrompts(registry)
    book = book_of(loaded, store, {})
    revision = str(registry.folder / "revision")
    body = orjson.loads(_body("promoted", "Question"))
    prompt = book.prompt("promoted", "acme", 0.5)
    steps: Mapping[str, Callable[[], Any]] = {
        "os.stat of the registry's revision": lambda: os.stat(revision),  # noqa: PTH116 - as the server does
        "the look at it, and what it says": store.stamp,
        "the version in force, the look included": lambda: book.prompt("promoted", "acme", 0.5),
        "rendering, with 4 demonstrations": lambda: prompt.apply(body, "chat/completions"),
    }
    return [Step(name, _each_us(step)) for name, step in steps.items()]


def _each_us(step: Callable[[], Any], number: int = 20_000) -> float:
    """The least of five, as the others were interrupted."""
    return min(timeit.repeat(step, number=number, repeat=5)) / number * 1e6


if __name__ == "__main__":
    main()
