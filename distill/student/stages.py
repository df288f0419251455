"""The stages of a recipe, in order: what each reads, what its outcome depends on, and what came of it in a line.

The non-obvious decision: a stage depends on what it reads of the ones before and on nothing else. What the live
traffic has become since is none of that: one work folder is one look at what Weir wrote down, or a run that goes on
after a kill would begin anew with each request that came meanwhile. Logs that a recipe names count, by what they
say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from distill.student.card import Terms, card_of, write_card
from distill.student.child import StageFailed
from distill.student.compressing.compress import compress
from distill.student.curating.curate import DATA, curate
from distill.student.curating.curate import LAYOUT as CURATED
from distill.student.examples import TRAIN
from distill.student.gating.gate import About, gate
from distill.student.gating.gated import STUDENT
from distill.student.means import Means
from distill.student.mining.mine import mine
from distill.student.mining.traffic import Traffic
from distill.student.running import Stage, Tell
from distill.student.storing import put
from distill.student.teacher import TeacherSettings
from distill.student.training.train import ADAPTER, MODEL
from distill.student.training_stage import train, training_of
from registry.routers import artefact_name
from registry.store import Registry

MINE, CURATE, TRAIN_STAGE, COMPRESS, GATE, CARD = "mine", "curate", "train", "compress", "gate", "card"
STAGES = (MINE, CURATE, TRAIN_STAGE, COMPRESS, GATE, CARD)
TRAINED = "train.json"
_TOLD = ("steps", "loss", "parameters", "device")
"""Of `train.json`, in a stage's summary."""


def stages_of(means: Means) -> list[Stage]:
    """All six."""
    return [_mine(means), _curate(means), _train(means), _compress(means), _gate(means), _card(means)]


def _mine(means: Means) -> Stage:
    recipe, tenants = means.recipe, means.loaded.config.tenants
    who = {recipe.tenant: tenants[recipe.tenant]} if recipe.tenant else tenants
    consents = {name: [sorted(tenant.consents), tenant.training_days] for name, tenant in sorted(who.items())}

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        tell("reading the traffic", 0, 0)
        traffic = means.traffic(tell)
        if not traffic.requests:
            raise StageFailed(_why_nothing(traffic))
        mined = mine(
            traffic,
            recipe.mine,
            encode=means.encode,
            teacher=means.teacher,
            folder=folder,
            tell=tell,
            teacher_price=means.price,
            student_price=means.student_price,
        )
        picked, total = mined.picked, sum(one.requests for one in mined.intents)
        share = sum(one.requests for one in picked) / total if total else 0.0
        return {
            "intents": len(mined.intents),
            "picked": len(picked),
            "share": round(share, 4),
            "spent_usd": str(mined.usd),
            **mined.counts,
        }

    settings = {
        "mine": recipe.mine.model_dump(mode="json"),
        "route": recipe.route,
        "consents": consents,
        "teacher": _asked(recipe.teacher),
        "student_price": recipe.student_price,
        "encoder": means.version,
    }
    return Stage(name=MINE, does="looking for intents", settings=settings, sources=recipe.logs, work=work)


def _curate(means: Means) -> Stage:
    recipe = means.recipe

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        teacher = means.teacher
        facts = curate(
            means.folder / MINE,
            recipe.curate,
            encode=means.encode,
            teacher=teacher,
            suite=means.suite,
            folder=folder,
            tell=tell,
            judge=means.judge,
        ).facts
        parts: dict[str, Any] = {part: amount.questions for part, amount in facts.parts.items()}
        return {
            **parts,
            "dropped": sum(facts.dropped.values()),
            "left_out": facts.lesson.left_out,
            "spent_usd": str(facts.lesson.usd),
            "judge_usd": str(facts.judging.usd),
        }

    settings = {
        "curate": [CURATED, recipe.curate.model_dump(mode="json")],
        "teacher": _asked(recipe.teacher),
        "judge": _asked(recipe.judge),
        "encoder": means.version,
        "suite": means.suite.version if means.suite is not None else "",
    }
    return Stage(name=CURATE, does="curating", settings=settings, after=(MINE,), work=work)


def _train(means: Means) -> Stage:
    recipe = means.recipe

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        train(means, recipe.training, means.folder / CURATE / TRAIN, folder, tell)
        told = msgspec.json.decode((folder / TRAINED).read_bytes())
        return {name: told[name] for name in _TOLD}

    return Stage(
        name=TRAIN_STAGE,
        does="training",
        settings=training_of(means),
        sources=recipe.texts,
        after=(f"{CURATE}/{TRAIN}",),
        work=work,
        keeps=True,
    )


def _compress(means: Means) -> Stage:
    recipe = means.recipe

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        found = compress(
            means.folder / TRAIN_STAGE / MODEL,
            recipe.compress,
            engines=recipe.engines,
            folder=folder,
            tell=tell,
            examples=means.folder / CURATE / TRAIN,
            adapter=means.folder / TRAIN_STAGE / ADAPTER,
        )
        made = {variant.name: variant.bytes for variant in found.variants}
        return {"made": made, "refused": {one.name: one.reason for one in found.refused}}

    settings = {
        "compress": recipe.compress.model_dump(mode="json", exclude={"python"}),
        "vllm": recipe.engines.vllm is not None,
    }
    given = [Path(file) for file in recipe.compress.given.values()]
    return Stage(
        name=COMPRESS,
        does="compressing",
        settings=settings,
        sources=given,
        after=(f"{TRAIN_STAGE}/{MODEL}", f"{CURATE}/{TRAIN}"),
        work=work,
        keeps=True,
    )


def _gate(means: Means) -> Stage:
    recipe = means.recipe

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        found = gate(
            means.folder / CURATE,
            means.folder / COMPRESS,
            recipe.gate,
            encode=means.encode,
            about=About(
                route=recipe.route, owner=recipe.tenant, teacher=recipe.teacher.model, encoder=means.version
            ),
            teacher=means.teacher,
            suite=means.suite,
            engines=recipe.engines,
            folder=folder,
            tell=tell,
            judge=means.judge,
        )
        return {
            "passed": found.passed,
            "intents": len(found.chosen.intents),
            "delivered": found.first.judged.figures.share.value,
            "reasons": list(found.reasons),
        }

    settings = {
        "gate": recipe.gate.model_dump(mode="json"),
        "engines": recipe.engines.model_dump(mode="json", exclude={"vllm": {"python"}}),
        "teacher": _asked(recipe.teacher),
        "judge": _asked(recipe.judge),
        "encoder": means.version,
        "suite": means.suite.version if means.suite is not None else "",
        "about": [recipe.route, recipe.tenant],
    }
    return Stage(name=GATE, does="at the gate", settings=settings, after=(CURATE, COMPRESS), work=work, keeps=True)


def _card(means: Means) -> Stage:
    recipe = means.recipe
    terms = Terms(
        licence=recipe.licence,
        base=str(recipe.train.get("base", "")),
        base_licence=recipe.base_licence,
        teacher_terms=recipe.teacher_terms,
    )

    def work(folder: Path, tell: Tell) -> Mapping[str, Any]:
        gated = means.folder / GATE
        card = card_of(means.folder / CURATE / DATA, means.folder / TRAIN_STAGE / TRAINED, gated, terms)
        write_card(card, gated, folder)
        tell("storing", 0, 0)
        version = put(Registry(means.state / "registry"), gated / STUDENT, card, by=means.by)
        return {
            "student": artefact_name(recipe.route, recipe.tenant),
            "version": version,
            "passed": card["verdict"]["passed"],
        }

    return Stage(
        name=CARD,
        does="writing the card",
        settings={"terms": msgspec.to_builtins(terms), "registry": str(means.state.absolute())},
        after=(f"{CURATE}/{DATA}", f"{TRAIN_STAGE}/{TRAINED}", GATE),
        work=work,
    )


def _why_nothing(traffic: Traffic) -> str:
    said = [
        *(
            f"{many:,} of {name}, who does not consent to `training`"
            for name, many in traffic.without_consent.items()
        ),
        *(f"{many:,} {reason}" for reason, many in traffic.left_out.items()),
    ]
    advice = "Name another log with --log, or another route."
    if traffic.without_consent:
        advice = "Set `tenants.NAME.consents: [training]` where that was agreed, or name another log."
    return f"There is no request to learn from. Left out: {'; '.join(said) or 'none, the logs are empty'}. {advice}"


def _asked(settings: TeacherSettings) -> Mapping[str, Any]:
    """Whom, and how: only what changes the answers, and how many of them there are."""
    return settings.model_dump(mode="json", exclude={"concurrency"})
