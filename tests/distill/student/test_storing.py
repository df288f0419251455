"""A student that no gate has passed is not put in force, unless by name and with a reason; a passed one is."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from contracts.artefacts import CANARY, PREVIOUS, PRODUCTION
from contracts.students import CONTENT, LAYOUT, STUDENT, Student, Variant, student_bytes
from distill.student.card import README, Terms, card_of, write_card
from distill.student.gating.gated import STUDENT as FOLDER
from distill.student.gating.gated import VERDICT, Gated, OfVariant
from distill.student.gating.settings import GateSettings
from distill.student.gating.verdict import judged
from distill.student.storing import NotPassed, promote, put, verdict_on
from registry.store import Registry
from tests.distill.student.planted_gate import all_chosen, trial


def finished(work: Path, good: float, *, owner: str = "", weights: bytes = b"w") -> dict[str, object]:
    """A run that ended: its folders, and the card of its student, who is right in `good` of its answers."""
    rows = [("a", "a", 0.9, float(place < good * 200)) for place in range(200)]
    chosen, settings = all_chosen(("a",)), GateSettings()
    verdict = judged(trial(rows, {"a": 1.0}), chosen, settings)
    variant = Variant(name="q8_0", engine="gguf", files=("student.gguf",), bytes=len(weights))
    student = Student(
        layout=LAYOUT,
        route="support",
        owner=owner,
        teacher="large",
        intents=chosen.intents,
        least_good=0.5,
        turns=1,
        most_tokens=512,
        encoder="v1",
        variants=(variant,),
    )
    gated = Gated(
        passed=verdict.passed,
        student=student,
        chosen=chosen,
        variants=(OfVariant(variant=variant, judged=verdict, tokens_s=90.0, p95_ms=8.0, memory_mb=50.0),),
        not_made={},
        check="planted",
        taught=0,
        tune_curve=(),
        settings=settings.model_dump(mode="json"),
    )
    folder = work / "gate" / FOLDER
    folder.mkdir(parents=True)
    (folder / CONTENT).write_bytes(student_bytes(student))
    (folder / "student.gguf").write_bytes(weights)
    (work / "gate" / VERDICT).write_bytes(msgspec.json.encode(gated))
    (work / "data.json").write_text(json.dumps({"read": 300, "languages": {"en": 1}, "last_day": "2026-11-02"}))
    (work / "train.json").write_text(json.dumps({"device": "cpu", "energy_wh": 2.5, "losses": [[1, 2.0]]}))
    return card_of(work / "data.json", work / "train.json", work / "gate", Terms(licence="Apache-2.0"))


def test_a_passed_student_is_put_promoted_and_rolled_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    versions = []
    for weights in (b"one", b"two"):
        work = tmp_path / weights.decode()
        card = finished(work, 1.0, weights=weights)
        versions.append(put(registry, work / "gate" / FOLDER, card, by="me"))
        assert write_card(card, work / "gate", work / "card") == versions[-1]
        assert promote(registry, "support", "", versions[-1], by="me")
    aliases = registry.aliases(STUDENT, "support")
    assert (aliases[PRODUCTION], aliases[PREVIOUS]) == (versions[1], versions[0])
    assert not promote(registry, "support", "", PRODUCTION, by="me")
    assert registry.rollback(STUDENT, "support", by="me", reason="worse") == versions[0]


def test_putting_the_same_again_changes_nothing(tmp_path: Path) -> None:
    registry, card = Registry(tmp_path / "registry"), finished(tmp_path, 1.0)
    first = put(registry, tmp_path / "gate" / FOLDER, card, by="me")
    before = len(list(registry.log.entries()))
    assert put(registry, tmp_path / "gate" / FOLDER, card, by="me") == first
    assert len(list(registry.log.entries())) == before


def test_a_refused_student_is_stored_and_never_promoted_but_by_force(tmp_path: Path) -> None:
    registry, card = Registry(tmp_path / "registry"), finished(tmp_path, 0.8)
    version = put(registry, tmp_path / "gate" / FOLDER, card, by="me")
    verdict = verdict_on(registry, "support", version)
    assert verdict is not None
    assert verdict.evidence["passed"] is False
    with pytest.raises(NotPassed, match=r"refused version .*quality"):
        promote(registry, "support", "", version, by="me")
    assert registry.aliases(STUDENT, "support") == {}
    assert promote(registry, "support", "", version, by="me", reason="an incident", force=True)
    last = list(registry.log.entries())[-1]
    assert last.reason == "an incident"
    assert "refused" in last.evidence["forced"]


def test_what_no_gate_judged_is_not_promoted(tmp_path: Path) -> None:
    registry, card = Registry(tmp_path / "registry"), finished(tmp_path, 1.0)
    files = {path.name: path.read_bytes() for path in (tmp_path / "gate" / FOLDER).iterdir()}
    version = registry.put(STUDENT, "support", files, card, by="me")
    with pytest.raises(NotPassed, match="weir distill run"):
        promote(registry, "support", "", version, by="me")


def test_a_canary_that_becomes_production_is_no_canary_any_more(tmp_path: Path) -> None:
    registry, card = Registry(tmp_path / "registry"), finished(tmp_path, 1.0)
    version = put(registry, tmp_path / "gate" / FOLDER, card, by="me")
    promote(registry, "support", "", version, alias=CANARY, by="me")
    promote(registry, "support", "", CANARY, by="me")
    assert registry.aliases(STUDENT, "support") == {PRODUCTION: version}


def test_another_tenants_student_and_another_ones_card_are_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    card = finished(tmp_path / "acme", 1.0, owner="acme")
    version = put(registry, tmp_path / "acme/gate" / FOLDER, card, by="me")
    assert registry.names(STUDENT) == ["support/acme"]
    finished(tmp_path / "all", 1.0)
    with pytest.raises(ValueError, match="the card is not that of"):
        put(registry, tmp_path / "all/gate" / FOLDER, card, by="me")
    files = {path.name: path for path in (tmp_path / "acme/gate" / FOLDER).iterdir()}
    registry.put(STUDENT, "support", files, card, by="me")
    with pytest.raises(ValueError, match="not learned for route support"):
        promote(registry, "support", "", version, by="me", force=True)


def test_the_card_says_what_people_must_know(tmp_path: Path) -> None:
    card = finished(tmp_path, 1.0)
    assert card["verdict"]["passed"] is True  # type: ignore[index]
    write_card(card, tmp_path / "gate", tmp_path / "card")
    text = (tmp_path / "card" / README).read_text()
    assert 'license: "apache-2.0"' in text
    assert 'language: ["en"]' in text
    assert "teacher\\_terms: unknown" in text
    assert "Nobody has said whether the teacher's terms allow" in text
    assert "energy\\_wh: 2.5" in text
    assert "losses" not in text
    assert "2026-11-02" in text
    assert json.loads((tmp_path / "card/card.json").read_text()) == json.loads(json.dumps(card))
