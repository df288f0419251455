"""The card of a student: where it comes from, what was found, and what nobody has said yet.

The non-obvious decision: a licence, or the teacher's terms, that nobody gave stands there as unknown, and first
among the limits. Many providers forbid that their answers teach another model: people must read that, and say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from contracts.artefacts import CARD
from contracts.students import STUDENT
from distill.student.gating.gated import STUDENT as FOLDER
from distill.student.gating.gated import Gated, read_gated
from distill.student.gating.usual import MOST
from evals.statistics.interval import Interval
from registry.card import markdown
from registry.contents import contents_of, version_of_contents
from registry.routers import artefact_name
from registry.store import StoredArtefact
from system.files import replace_file

README = "README.md"
_NOT_KNOWN = "unknown"
_CURVE = frozenset({"losses", "points", "log", "curve"})
"""Of what training writes down: series, which its plot shows."""


class Terms(Struct, frozen=True, kw_only=True):
    """What people say of it, "" where nobody did. `base` is the model that it was trained from, "" from scratch."""

    licence: str = ""
    base: str = ""
    base_licence: str = ""
    teacher_terms: str = ""


def card_of(data: Path, training: Path, gate: Path, terms: Terms) -> dict[str, Any]:
    """Plain JSON, from `data.json` and `train.json`, and the folder of the gate. The same for the same files.

    Raises OSError, and ValueError where one is damaged.
    """
    gated = read_gated(gate)
    facts, trained = _json(data), _json(training)
    student = gated.student
    return {
        "summary": _summary(gated),
        "licence": terms.licence or _NOT_KNOWN,
        "languages": sorted(name for name in facts.get("languages", {}) if name),
        "tags": ["distilled", *sorted({one.engine for one in student.variants})],
        "task": "text-generation",
        **({"base_model": terms.base} if terms.base else {}),
        "route": student.route,
        "owner": student.owner,
        "encoder": student.encoder,
        "lineage": {
            "teacher": student.teacher or _NOT_KNOWN,
            "teacher_terms": terms.teacher_terms or _NOT_KNOWN,
            "base": terms.base or "from scratch",
            "base_licence": terms.base_licence or (_NOT_KNOWN if terms.base else "none: from scratch"),
            "data": facts,
            "training": {name: value for name, value in trained.items() if name not in _CURVE},
        },
        "evidence": _evidence(gated),
        "verdict": {
            "passed": gated.passed,
            "reasons": list(gated.reasons),
            "rules": dict(gated.settings),
        },
        "intents": _intents(gated),
        "variants": _variants(gated),
        "limits": _limits(gated, facts, terms),
    }


def write_card(card: Mapping[str, Any], gate: Path, folder: Path) -> str:
    """`card.json` and `README.md` in `folder`, and the version that the student has, or will have, in the registry.

    Raises OSError, RegistryFault.
    """
    student = gate / FOLDER
    files = {path.name: path for path in sorted(student.iterdir())}
    version = version_of_contents(contents_of(files, card))
    artefact = StoredArtefact(
        kind=STUDENT,
        name=artefact_name(card["route"], card["owner"]),
        version=version,
        folder=student,
        card=json.loads(json.dumps(card)),
        files=tuple(files),
    )
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / CARD, json.dumps(card, ensure_ascii=False, indent=1).encode())
    replace_file(folder / README, markdown(artefact).encode())
    return version


def _summary(gated: Gated) -> str:
    student = gated.student
    whose = f"tenant {student.owner}" if student.owner else "all tenants"
    said = f"A small model that answers common questions of route {student.route} ({whose}) instead of its teacher"
    if not gated.passed:
        return f"{said}. The gate refused it: it is not to be served."
    share = gated.first.judged.figures.share
    return (
        f"{said}: {len(student.intents)} intents, {share.value:.0%} of the traffic. All else goes to the teacher."
    )


def _evidence(gated: Gated) -> list[dict[str, Any]]:
    """A row for each figure of the first variant."""
    figures = gated.first.judged.figures
    found: dict[str, Interval | None] = {
        "quality of the whole": figures.quality,
        "change beside the teacher": figures.change,
        "share delivered": figures.share,
        "wrong among the delivered": figures.wrong,
        "other questions answered": figures.leak,
    }
    return [
        {
            "metric": name,
            "value": round(one.value, 5),
            "low": round(one.low, 5),
            "high": round(one.high, 5),
            "n": figures.questions,
        }
        for name, one in found.items()
        if one is not None
    ]


def _intents(gated: Gated) -> list[dict[str, Any]]:
    tested = {one.intent: one for one in gated.first.judged.figures.intents}
    return [
        {
            "name": one.intent,
            "answers": one.allowed,
            "tested": tested[one.intent].questions if one.intent in tested else 0,
            "delivered": tested[one.intent].delivered if one.intent in tested else 0,
            "why": one.reason,
        }
        for one in gated.chosen.considered
    ]


def _variants(gated: Gated) -> list[dict[str, Any]]:
    kept = {one.name for one in gated.student.variants}
    return [
        {
            "name": one.variant.name,
            "engine": one.variant.engine,
            "bytes": one.variant.bytes,
            "tokens_s": round(one.tokens_s, 1),
            "p95_ms": round(one.p95_ms, 1),
            "passed": one.judged.passed,
            "here": one.variant.name in kept,
        }
        for one in gated.variants
    ]


def _limits(gated: Gated, facts: Mapping[str, Any], terms: Terms) -> list[str]:
    student = gated.student
    limits = []
    if not terms.teacher_terms:
        limits.append(
            "Nobody has said whether the teacher's terms allow learning from its answers: read them first."
        )
    if not terms.licence or (terms.base and not terms.base_licence):
        limits.append("The licence of the weights, or of what they began from, is unknown.")
    turns = "first turns" if student.turns == 1 else f"the first {student.turns} turns"
    limits += [
        f"It learned {turns} alone, of requests with their answer of {student.most_tokens:,} tokens at most.",
        "Shares of the traffic are shares of these turns.",
        f"Up to {MOST} usual answers of each intent are in it word for word, beside what its weights may repeat.",
        "It is no use without the heads beside it: alone it answers what it does not know, and sounds sure.",
        "What is asked, and what is right, changes: its figures are those of the traffic that it was tested on.",
    ]
    last = facts.get("last_day")
    return limits + ([f"The traffic that it learned from ends on {last}."] if last else [])


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): do its stage again") from error
