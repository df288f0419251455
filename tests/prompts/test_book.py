"""Prompts from files: their versions, and what they do to a request's body."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from contracts.ports import Prompt
from prompts.book import BookedPrompt, PromptBook

BODY = {"model": "support", "messages": [{"role": "user", "content": "hello"}], "x-unknown": 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "support.txt"
    path.write_text("Be brief.\n", encoding="utf-8")
    return path


def test_a_book_reads_its_files_once(file: Path) -> None:
    book = PromptBook({"support": (file, "prepend")})
    version = book["support"].version
    file.write_text("Be verbose.", encoding="utf-8")
    assert list(book) == ["support"]
    assert book["support"].text == "Be brief."
    assert book["support"].version == version
    assert PromptBook({"support": (file, "prepend")})["support"].version != version


def test_the_version_is_of_text_and_rule_alone(tmp_path: Path, file: Path) -> None:
    moved = tmp_path / "moved.txt"
    moved.write_bytes(b"\xef\xbb\xbfBe brief.\r\n\r\n")
    book = PromptBook({"a": (file, "prepend"), "b": (moved, "prepend"), "c": (file, "replace")})
    assert book["a"].version == book["b"].version
    assert book["a"].version != book["c"].version
    assert len(book["a"].version) == 16
    assert book["a"].version.isalnum()


def test_a_version_outlives_the_process() -> None:
    assert BookedPrompt("Be brief.", "prepend").version == "719e19325e779873"


def test_line_ends_do_not_change_a_version(tmp_path: Path) -> None:
    unix, windows = tmp_path / "unix.txt", tmp_path / "windows.txt"
    unix.write_bytes(b"one\ntwo\n")
    windows.write_bytes(b"one\r\ntwo\r\n")
    book = PromptBook({"unix": (unix, "append"), "windows": (windows, "append")})
    assert book["unix"].version == book["windows"].version


def test_a_prompt_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BookedPrompt("Be brief.", "prepend").text = "other"  # type: ignore[misc]


def test_a_prompt_goes_into_a_chat_and_nothing_else_is_touched() -> None:
    prompt: Prompt = BookedPrompt("Be brief.", "prepend")
    applied = prompt.apply(BODY, "chat/completions")
    assert applied == {**BODY, "messages": [{"role": "system", "content": "Be brief."}, *BODY["messages"]]}
    assert len(BODY["messages"]) == 1


def test_endpoints_without_system_prompts_get_their_body_back() -> None:
    prompt = BookedPrompt("Be brief.", "prepend")
    body = {"model": "m", "prompt": "hello", "input": "hello"}
    assert prompt.apply(body, "completions") is body
    assert prompt.apply(body, "embeddings") is body


def test_a_body_that_does_not_change_is_not_copied() -> None:
    body = {"model": "m", "messages": [{"role": "system", "content": "mine"}]}
    assert BookedPrompt("Be brief.", "only-if-absent").apply(body, "chat/completions") is body


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf", b"caf\xe9"])
def test_blank_and_undecodable_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must say something|codec can't decode"):
        PromptBook({"p": (path, "prepend")})


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PromptBook({"p": (tmp_path / "none.txt", "prepend")})


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="not a merge rule"):
        BookedPrompt("Be brief.", "sideways")  # type: ignore[arg-type]
