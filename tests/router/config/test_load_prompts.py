"""The files of prompts, as a configuration is read: what comes of good ones, and what is said about bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config.load import load
from tests.router.config.good import ENVIRON, Write, changed, refused


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, " is not there"), (b" \n", ": it is blank"), (b"caf\xe9", ": it is not UTF-8 text")],
)
def test_a_file_that_cannot_be_used_is_told(
    write: Write, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path, prompt = write(), tmp_path / "prompts/support.txt"
    prompt.unlink() if content is None else prompt.write_bytes(content)
    error = refused(path)
    assert [(p.path, p.line) for p in error.problems] == [("prompts.support.file", 13)]
    assert error.problems[0].message == f"the file {prompt}{message}"
    assert prompt in error.files


def test_all_that_is_wrong_with_a_prompt_of_parts_and_the_values_for_its_slots(
    write: Write, tmp_path: Path
) -> None:
    file = tmp_path / "prompts/support.yaml"
    path = write(changed("{file: prompts/support.txt}", "{file: prompts/support.yaml, merge: x, slots: {frim: B}}"))
    file.write_text("sections: [{name: a, text: '{{ firm }}'}]\nslots: {firm: A}\n")
    assert [
        (problem.path, problem.line, problem.message, problem.advice) for problem in refused(path).problems
    ] == [
        ("prompts.support.merge", 13, "must be 'prepend', 'append', 'replace' or 'only-if-absent'", ""),
        ("prompts.support.slots.frim", 13, f"'frim' is no slot of {file}", "Did you mean 'firm'?"),
    ]
    file.write_text("sections: [{name: a, txt: b}]\nslots: {F: A}\n")
    told = [problem.message for problem in refused(path).problems if problem.path == "prompts.support.file"]
    assert len(told) == 3
    assert f"the file {file}: sections[0].txt: is not known here. Did you mean 'text'?" in told
    half = '{file: prompts/support.txt, slots: {firm: "\\ud83d"}}'
    told = [problem.message for problem in refused(write(changed("{file: prompts/support.txt}", half))).problems]
    assert r"\ud83d is half a character: write the whole one as it is" in told


def test_prompts_are_read_as_they_are_merged(write: Write) -> None:
    prompt = load(write(changed("support.txt}", "support.txt, merge: append}")), ENVIRON).prompts["support"]
    assert (prompt.text, prompt.rule) == ("Be brief.", "append")
