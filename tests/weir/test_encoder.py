"""`weir encoder`: what it builds, what it prints, and what it says where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from encoder.card import BUILT, read_card
from weir.encoder import encoder

needs_encoder = pytest.mark.skipif(
    not (BUILT / "encoder.json").exists(), reason="the encoder is not built: weir encoder build"
)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(encoder, [str(each) for each in arguments])


@needs_encoder
def test_without_more_words_the_weights_that_come_with_weir_are_built(tmp_path: Path) -> None:
    folder = tmp_path / "all-minilm-l6-v2"
    built = run("build", "--to", folder)
    assert built.exit_code == 0
    assert read_card(folder) == read_card(BUILT)
    assert built.stdout.startswith(f"all-minilm-l6-v2 {read_card(BUILT).version}: 384 dimensions")


@needs_encoder
def test_built_as_json_and_built_in_silence(tmp_path: Path) -> None:
    told = json.loads(run("build", "--from", BUILT, "--to", tmp_path / "a", "--json").stdout)
    assert (told["folder"], told["version"]) == (str(tmp_path / "a"), read_card(BUILT).version)
    assert run("build", "--from", BUILT, "--to", tmp_path / "b", "--quiet").output == ""


@needs_encoder
def test_texts_are_encoded_and_compared(tmp_path: Path) -> None:
    tried = run("test", "reset my password", "I forgot my password", "rain tomorrow", "--json")
    assert tried.exit_code == 0
    told = json.loads(tried.stdout)
    assert (told["version"], told["dimensions"]) == (read_card(BUILT).version, 384)
    one, same, other = told["texts"]
    assert one["similarity"] == 1.0
    assert same["similarity"] > other["similarity"]
    assert all(row["p50_ms"] > 0 for row in told["texts"])
    lines = run("test", "hello").stdout.splitlines()
    assert lines[0].startswith(f"all-minilm-l6-v2 {read_card(BUILT).version}")
    assert lines[2].endswith("1.000  hello")


def test_without_an_encoder_it_says_how_to_build_one(tmp_path: Path) -> None:
    refused = run("test", "hello", "--folder", tmp_path)
    assert refused.exit_code == 1
    assert f"Build it: weir encoder build --to {tmp_path}" in refused.output


def test_a_folder_that_holds_no_encoder_is_refused(tmp_path: Path) -> None:
    refused = run("build", "--from", tmp_path, "--to", tmp_path / "built")
    assert refused.exit_code == 1
    assert "name a sentence-transformers folder" in refused.output
