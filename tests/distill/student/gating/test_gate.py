"""A student that answers right passes the gate, one that learned shuffled answers is refused, and the choice is
made without the test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.students import CHECK, CONTENT, INTENTS, Variant, read_student
from distill.student.child import StageFailed
from distill.student.compressing.compress import Compressed
from distill.student.examples import Example
from distill.student.gating.gate import About, gate_with
from distill.student.gating.gated import STUDENT, Gated, read_gated
from distill.student.gating.marking import SAME, Marker
from distill.student.gating.settings import GateSettings
from heads.checks import CheckHead
from heads.intents import UNKNOWN, IntentHead
from tests.distill.student.planted_gate import (
    Answer,
    answer_of,
    compressed,
    encoder,
    engine,
    lot,
    parts_and_vectors,
)
from tests.heads.labelled import WORDS

PARTS, VECTORS = parts_and_vectors()
ABOUT = About(route="support", owner="", teacher="large", encoder="v1")


def says(one: Example, variant: Variant) -> tuple[str, float]:
    """Right, but for holidays, of which it knows half, and where it slips; and less sure wherever it is wrong. Of
    four bits too few are left."""
    right = one.intent in WORDS and not (one.intent == "holiday" and lot(one) < 0.5) and lot(one, "slip") > 0.02
    if variant.name == "q4_0":
        right = right and lot(one, "bits") > 0.3
    word = one.intent if right else WORDS[int(lot(one, "w") * 5)]
    text = answer_of(word) if right or word != one.intent else "Please ask again."
    return text, -0.02 - 0.1 * lot(one, "p") if right or variant.name == "q4_0" else -0.6 - 0.3 * lot(one, "p")


def shuffled(one: Example, variant: Variant) -> tuple[str, float]:
    """As sure as can be, of the next intent's answer."""
    return answer_of(WORDS[(WORDS.index(one.intent) + 1) % len(WORDS)] if one.intent in WORDS else "refund"), -0.02


def tried(say: Answer, folder: Path, settings: GateSettings | None = None) -> Gated:
    marker = Marker(None, encoder(VECTORS), same_words=0.8)
    return gate_with(
        engine(say),
        PARTS,
        compressed(folder / "compress"),
        settings or GateSettings(),
        encode=encoder(VECTORS),
        about=ABOUT,
        teacher=None,
        marker=marker,
        folder=folder / "gate",
        tell=lambda *_: None,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    tried(says, folder)
    return folder


def test_a_student_that_answers_right_passes_with_the_intents_it_knows(work: Path) -> None:
    gated = read_gated(work / "gate")
    assert gated.passed, gated.reasons
    assert set(WORDS) - {"holiday"} <= set(gated.student.intents)
    figures = gated.first.judged.figures
    assert figures.change.low > -0.02
    assert figures.share.value > 0.5
    assert figures.leak is not None
    assert figures.leak.value < 0.1
    assert set(figures.measures) <= {SAME, "not known, counted as wrong"}


def test_the_smallest_variant_that_passes_is_kept_and_one_with_too_few_bits_refused(work: Path) -> None:
    gated = read_gated(work / "gate")
    assert [one.variant.name for one in gated.variants] == ["f16", "q8_0", "q4_0"]
    assert [one.judged.passed for one in gated.variants] == [True, True, False]
    assert [one.name for one in gated.student.variants] == ["q8_0"]


def test_a_smaller_variant_that_keeps_more_of_its_answers_back_is_not_worth_its_bytes(tmp_path: Path) -> None:
    def shy(one: Example, variant: Variant) -> tuple[str, float]:
        text, sure = says(one, Variant(name="f16", engine="gguf", files=(), bytes=0))
        return text, -0.9 if variant.name == "q8_0" and lot(one, "shy") < 0.3 else sure

    gated = tried(shy, tmp_path)
    assert [one.judged.passed for one in gated.variants][:2] == [True, False]
    assert any("it delivers" in reason for reason in gated.variants[1].judged.reasons)
    assert [one.name for one in gated.student.variants] == ["f16"]


def test_the_folder_is_what_a_router_can_read(work: Path) -> None:
    folder = work / "gate" / STUDENT
    student = read_student((folder / CONTENT).read_bytes())
    assert student == read_gated(work / "gate").student
    assert {path.name for path in folder.iterdir()} == {CONTENT, INTENTS, CHECK, "student-q8_0.gguf"}
    assert set(student.intents) <= set(IntentHead.read(folder / INTENTS).intents)
    assert CheckHead.read(folder / CHECK).tasks
    assert student.teacher == "large"
    assert student.encoder == "v1"


def test_the_report_says_why_of_each_intent_and_variant(work: Path) -> None:
    text = (work / "gate" / "gate.md").read_text()
    for name in (*WORDS, UNKNOWN, "`q4_0`", "`2:4`"):
        assert f"| {name} " in text
    assert "passed" in text.splitlines()[0]
    assert "refused:" in text
    assert re.search(r"By itself the teacher scores [01]\.\d{3} on the test\.", text)
    assert re.search(
        r"On the \d+ questions that are delivered the student scores [01]\.\d{3}, the teacher 1\.000\.", text
    )
    assert (work / "gate" / "plot.svg").read_text().startswith("<svg")


def test_a_student_of_shuffled_answers_is_refused(tmp_path: Path) -> None:
    gated = tried(shuffled, tmp_path)
    assert not gated.passed
    assert not gated.student.intents
    assert gated.reasons[0].startswith("failed: ")
    assert not any(one.judged.passed for one in gated.variants)
    student = read_student((tmp_path / "gate" / STUDENT / CONTENT).read_bytes())
    assert student.intents == ()
    assert student.least_good > 1
    assert "may answer nothing" in (tmp_path / "gate" / "gate.md").read_text()


def test_what_is_chosen_does_not_come_from_the_test(work: Path, tmp_path: Path) -> None:
    """The test's answers shuffled: the same choice, another verdict."""
    test = {one.id for one in PARTS.test}
    gated = tried(lambda one, variant: (shuffled if one.id in test else says)(one, variant), tmp_path)
    before = read_gated(work / "gate")
    assert gated.chosen == before.chosen
    assert gated.tune_curve == before.tune_curve
    heads = [
        (folder / "gate" / STUDENT / name).read_bytes() for folder in (work, tmp_path) for name in (CHECK, INTENTS)
    ]
    assert heads[:2] == heads[2:]
    assert before.passed
    assert not gated.passed


def test_without_a_variant_there_is_advice(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"compress\.variants"):
        gate_with(
            engine(says),
            PARTS,
            Compressed(tmp_path, (), ()),
            GateSettings(),
            encode=encoder(VECTORS),
            about=ABOUT,
            teacher=None,
            marker=Marker(None, encoder(VECTORS), same_words=0.8),
            folder=tmp_path,
            tell=lambda *_: None,
        )
