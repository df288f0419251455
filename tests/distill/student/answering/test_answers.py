"""A variant is asked by real llama.cpp: the same answers each time, nothing twice, faults that say what to do."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.students import Engine, Variant
from distill.student.answering.answers import Answered, answers_of
from distill.student.answering.memory import children_here
from distill.student.child import StageFailed
from distill.student.compressing.settings import EngineSettings, GGUFSettings
from distill.student.examples import Example
from tests.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.gguf
ENGINES = EngineSettings(gguf=GGUFSettings(context=128))
EXAMPLES = [
    Example(id=f"e{place}", intent="", messages=({"role": "user", "content": text},), answer="", group="")
    for place, text in enumerate(("hello", "where is my order", "again and again", "x " * 400, "good bye"))
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf").parent


def variant(engine: Engine = "gguf") -> Variant:
    return Variant(name="q8_0", engine=engine, files=("tiny.gguf",), bytes=1)


def ask(
    weights: Path, file: Path, examples: Sequence[Example] = EXAMPLES, tell: Any = None, **more: Any
) -> Answered:
    told = {"most_tokens": 8, "engines": ENGINES, **more}
    return answers_of(weights, variant(), examples, file=file, tell=tell or (lambda *_: None), **told)


def test_all_is_asked_once_and_measured(weights: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    others = children_here()
    file = tmp_path / "new" / "answers.jsonl"
    first = ask(weights, file, tell=lambda *each: told.append(each))
    assert told == [("asking q8_0", done, 5) for done in (1, 2, 3, 4, 5)]
    assert first.texts["e3"] == ""
    assert set(first.signals) == {"e0", "e1", "e2", "e4"}, "what is too long is refused, and the rest goes on"
    signals = first.signals["e0"]
    assert signals.answer == first.texts["e0"] != ""
    assert signals.question == "hello"
    assert signals.answer_tokens
    assert 1 <= signals.answer_tokens <= 8
    assert signals.mean_logp is not None
    assert signals.margin is not None, "two alternatives were asked for"
    assert min(first.tokens_s, first.p50_ms, first.p95_ms - first.p50_ms) > 0
    assert first.memory_mb is not None
    assert first.memory_mb > 5
    assert children_here() <= others, "the engine has ended"
    before, told[:] = file.read_bytes(), []
    assert ask(weights, file, tell=lambda *each: told.append(each)) == first
    assert (file.read_bytes(), told) == (before, []), "nothing is asked again"


def test_a_broken_off_run_goes_on_with_the_same_answers(weights: Path, tmp_path: Path) -> None:
    whole = ask(weights, tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    file = tmp_path / "half.jsonl"
    file.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    told: list[int] = []
    half = ask(weights, file, tell=lambda _, done, __: told.append(done))
    assert told == [3, 4, 5]
    assert (half.texts, half.signals) == (whole.texts, whole.signals)
    assert file.read_bytes().startswith(b"".join(lines[:3]))


def test_other_settings_weights_and_questions_are_asked_anew(weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    ask(weights, file, EXAMPLES[:1])
    told: list[int] = []
    ask(weights, file, EXAMPLES[:1], tell=lambda *_: told.append(1), most_tokens=4)
    other = Example(id="e0", intent="", messages=({"role": "user", "content": "else"},), answer="", group="")
    ask(weights, file, [other], tell=lambda *_: told.append(2), most_tokens=4)
    moved = write_tiny_gguf(tmp_path / "tiny.gguf", seed=1).parent
    ask(moved, file, [other], tell=lambda *_: told.append(3), most_tokens=4)
    assert told == [1, 2, 3]


def test_an_engine_that_dies_is_started_again(weights: Path, tmp_path: Path) -> None:
    killed: list[int] = []
    others = children_here()

    def kill(*_: object) -> None:
        if not killed:
            killed.extend(children_here() - others)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    answered = ask(weights, tmp_path / "killed.jsonl", tell=kill)
    assert killed
    assert answered.texts == ask(weights, tmp_path / "whole.jsonl").texts


def test_what_cannot_run_says_what_to_do(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"takes none of the 1 questions: .*context"):
        ask(weights, tmp_path / "long.jsonl", EXAMPLES[3:4])
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(StageFailed, match=r"q8_0 cannot be measured: llama\.cpp cannot run .* or leave q8_0 out"):
        ask(tmp_path, tmp_path / "damaged.jsonl")
    with pytest.raises(StageFailed, match=r"Only vLLM runs q8_0: name the Python .* as `engines\.vllm\.python`"):
        answers_of(
            weights,
            variant("vllm"),
            EXAMPLES,
            most_tokens=8,
            engines=ENGINES,
            file=tmp_path / "vllm.jsonl",
            tell=lambda *_: None,
        )
