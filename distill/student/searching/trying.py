"""A recipe's search and learning curve as stages: done again only where what they read has changed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import yaml

from distill.student.means import Means
from distill.student.mining.mine import INTENTS
from distill.student.recipe import Recipe, written
from distill.student.running import Stage, Tell
from distill.student.searching.curve import CONTENT as CURVE_FILE
from distill.student.searching.curve import LearningCurve, Traffic, learning_curve
from distill.student.searching.measuring import Bench, with_choice
from distill.student.searching.page import search_page, verdict_line
from distill.student.searching.plot import pareto_svg
from distill.student.searching.search import CONTENT as SEARCH_FILE
from distill.student.searching.search import Found, SearchSettings, Tried, search
from distill.student.stages import CURATE, MINE
from distill.student.training_stage import training_of
from system.files import replace_file

SEARCH, CURVE, RECIPE = "search", "curve", "recipe.yaml"


def search_stage(means: Means, changes: Mapping[str, Any]) -> Stage:
    """`changes` are settings of a command line. Raises ValueError where they are none."""
    recipe = means.recipe
    settings = SearchSettings.model_validate({**recipe.search.model_dump(), **changes})

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        found = search(settings, measure=Bench(means).score, folder=folder, tell=tell)
        replace_file(folder / "search.md", search_page(found, settings).encode())
        if any(one.whole for one in found.tried):
            plot = pareto_svg(found, p95_ms=settings.p95_ms, margin=settings.margin)
            replace_file(folder / "pareto.svg", plot.encode())
        if found.best is not None:
            told = yaml.safe_dump(with_best(recipe, found.best), sort_keys=False, allow_unicode=True)
            replace_file(folder / RECIPE, told.encode())
        return {"tried": len(found.tried), "verdict": verdict_line(found)}

    about = {**_about(means), "search": settings.model_dump(mode="json")}
    return Stage(name=SEARCH, does="searching", settings=about, sources=recipe.texts, after=(CURATE,), work=work)


def with_best(recipe: Recipe, best: Tried) -> dict[str, Any]:
    """The recipe as a file has it, with what was found in the place of its own."""
    told = written(recipe)
    compress = {**told.get("compress", {}), "variants": [best.choice.precision]}
    return {**told, "train": with_choice(recipe, best.choice), "compress": compress}


def found_in(folder: Path) -> Found:
    return msgspec.json.decode((folder / SEARCH_FILE).read_bytes(), type=Found)


def curve_stage(means: Means) -> Stage:
    recipe = means.recipe

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        curve = learning_curve(
            means.folder / CURATE,
            recipe.curve,
            measure=Bench(means).good,
            traffic=traffic_in(means.folder / MINE / INTENTS),
            folder=folder,
            tell=tell,
        )
        return {"quality": round(curve.now.value, 4), "examples": curve.examples}

    about = {
        **_about(means),
        "curve": recipe.curve.model_dump(mode="json"),
        "precision": recipe.compress.variants[0],
    }
    reads = (CURATE, f"{MINE}/{INTENTS}")
    return Stage(name=CURVE, does="learning curve", settings=about, sources=recipe.texts, after=reads, work=work)


def curve_in(folder: Path) -> LearningCurve:
    return msgspec.json.decode((folder / CURVE_FILE).read_bytes(), type=LearningCurve)


def _about(means: Means) -> Mapping[str, Any]:
    recipe = means.recipe
    return {
        **training_of(means),
        "gate": recipe.gate.model_dump(mode="json", include={"same_words", "answer_tokens"}),
        "engines": recipe.engines.model_dump(mode="json", exclude={"vllm": {"python"}}),
        "suite": means.suite.version if means.suite is not None else "",
    }


def traffic_in(intents: Path) -> Traffic | None:
    """Of the intents that were picked: requests a day, and dollars that each saves. None where nobody knows."""
    told = msgspec.json.decode(intents.read_bytes())
    picked = [one for one in told["intents"] if one["picked"]]
    saved = [Decimal(one["saved_usd"]) for one in picked if one["saved_usd"] is not None]
    requests, days = sum(one["requests"] for one in picked), _days(told["period"])
    if not saved or len(saved) < len(picked) or not requests or not days:
        return None
    return Traffic(requests=requests / days, saving=sum(saved, Decimal(0)) / requests)


def _days(period: Mapping[str, str]) -> int:
    """From the first to the last, both counted; 0 where nobody noted them."""
    from datetime import date

    if not period.get("first") or not period.get("last"):
        return 0
    return (date.fromisoformat(period["last"]) - date.fromisoformat(period["first"])).days + 1
