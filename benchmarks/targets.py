"""What a benchmark is held to: a figure, the target that was set for it beforehand, and whether it was met."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """`met` is None where the figure could not be had, as without the peer that it compares with."""

    what: str
    target: str
    figure: str
    met: bool | None


def at_least(what: str, figure: float | None, target: float, unit: str = "x") -> Target:
    """`figure` is None where it was not measured."""
    met = None if figure is None else bool(figure >= target)
    return Target(what, f"at least {target:g} {unit}".strip(), _shown(figure, unit), met)


def below(what: str, figure: float | None, target: float, unit: str) -> Target:
    """`figure` is None where it was not measured."""
    met = None if figure is None else bool(figure < target)
    return Target(what, f"under {target:g} {unit}".strip(), _shown(figure, unit), met)


def _shown(figure: float | None, unit: str) -> str:
    return "not measured" if figure is None else f"{rounded(figure)} {unit}".strip()


def rounded(figure: float) -> str:
    """To three places that count, or to whole numbers."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"


def table(targets: Sequence[Target]) -> str:
    """As Markdown."""
    verdicts = {True: "met", False: "**missed**", None: "not measured"}
    rows = [f"| {t.what} | {t.target} | {t.figure} | {verdicts[t.met]} |" for t in targets]
    return "\n".join(["| what | target | figure | verdict |", "| --- | --- | ---: | --- |", *rows])


def tell(results: list[dict[str, Any]], text: str, targets: Sequence[Target], *, as_json: bool) -> None:
    """What a benchmark prints in the end: a JSON line for each result and each target, or `text` and a table."""
    if as_json:
        for line in [*results, *lines(targets)]:
            print(json.dumps(line))
    else:
        print(f"{text}\n\n{table(targets)}")


def lines(targets: Sequence[Target]) -> list[dict[str, object]]:
    """As JSON objects."""
    return [{"benchmark": "targets", **asdict(target)} for target in targets]
