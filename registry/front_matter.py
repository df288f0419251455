"""The front matter of a model card: the keys that Hugging Face reads, in YAML.

The non-obvious decision: a card says in its own words what is to stand there, and one table translates them: so
routers, prompts and students are written alike. Results stand there where the card names a `task`, since they are
listed beside those of other models for it: one of every row of its `evidence` that has a metric and a number.

Source of the keys: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from registry.store import StoredArtefact

TRANSLATED = {
    "library": "library_name",
    "task": "pipeline_tag",
    "licence": "license",
    "licence_name": "license_name",
    "licence_link": "license_link",
    "languages": "language",
    "base_model": "base_model",
    "datasets": "datasets",
    "tags": "tags",
}
"""Of a card's keys, what Hugging Face calls them."""
_HELD_OUT = "held-out traffic"
"""What results are of, where a row does not name its `dataset`."""
_NOT_IN_TYPES = re.compile(r"[^a-z0-9]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]+")


def front_matter(artefact: StoredArtefact) -> list[str]:
    """Lines of YAML, of which JSON texts and lists are a part."""
    card = artefact.card
    values: dict[str, Any] = {"library": "weir", **card, "tags": ["weir", artefact.kind, *words(card.get("tags"))]}
    if isinstance(card.get("licence"), str):
        values["licence"] = card["licence"].lower()  # an SPDX name, which Hugging Face has in small letters
    lines = [f"model_name: {_yaml(artefact.name)}", f"version: {_yaml(artefact.version)}"]
    lines += [f"{key}: {_yaml(values[ours])}" for ours, key in TRANSLATED.items() if values.get(ours)]
    return lines + _results(artefact)


def words(value: Any) -> list[str]:
    """Of a list, or of one value alone; none where there is none."""
    if value is None:
        return []
    return [plain(one) for one in value] if isinstance(value, list) else [plain(value)]


def plain(value: Any) -> str:
    """As a text on one line."""
    return _UNPRINTABLE.sub(" ", str(value)).strip()


def _yaml(value: Any) -> str:
    return json.dumps(plain(value) if isinstance(value, str) else words(value), ensure_ascii=False)


def _results(artefact: StoredArtefact) -> list[str]:
    task, evidence = artefact.card.get("task"), artefact.card.get("evidence")
    if not isinstance(task, str) or not isinstance(evidence, list):
        return []
    found: dict[str, list[str]] = {}
    for row in evidence:
        if isinstance(row, dict) and _is_number(row.get("value")) and row.get("metric"):
            found.setdefault(plain(row.get("dataset", _HELD_OUT)), []).append(_metric(row))
    if not found:
        return []
    lines = ["model-index:", f"- name: {_yaml(artefact.name)}", "  results:"]
    for dataset, metrics in found.items():
        lines += [f"  - task: {{type: {_yaml(task)}}}"]
        lines += [f"    dataset: {{type: {_yaml(_type(dataset))}, name: {_yaml(dataset)}}}", "    metrics:"]
        lines += metrics
    return lines


def _metric(row: Mapping[str, Any]) -> str:
    """Its name tells all that the row does: there is no other place for an interval."""
    name = plain(row["metric"])
    told = [plain(row[key]) for key in row if key not in ("metric", "dataset") and isinstance(row[key], str)]
    if _is_number(row.get("low")) and _is_number(row.get("high")):
        told.append(f"{_number(row['low'])} to {_number(row['high'])}")
    if _is_number(row.get("n")):
        told.append(f"n {_number(row['n'])}")
    said = f"{name} ({', '.join(told)})" if told else name
    return f"    - {{type: {_yaml(_type(name))}, value: {_number(row['value'])}, name: {_yaml(said)}}}"


def _type(name: str) -> str:
    return _NOT_IN_TYPES.sub("-", name.lower()).strip("-") or "other"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> str:
    """Such that YAML 1.1 takes it for one: a power of ten wants a point before it."""
    text = f"{value:.6g}"
    return text if "e" not in text or "." in text else text.replace("e", ".0e")
