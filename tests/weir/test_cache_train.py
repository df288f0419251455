"""`weir cache train` and `evaluate`: a verifier of labelled questions, its table and plot, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.matching.features import NAMES
from cache.matching.verifier import Meanings, Verifier
from cache.matching.words import BUCKETS
from encoder.card import BUILT, read_card
from heads.trees import Trees
from weir.cache import cache
from weir.curve_svg import side_by_side, svg
from weir.labelled import read

pytest.importorskip("lightgbm", reason="the extra `learn` is not installed")
needs_encoder = pytest.mark.skipif(
    not (BUILT / "encoder.json").exists(), reason="the encoder is not built: weir encoder build"
)

OPENINGS = ("How do I", "how can I", "Please tell me how to", "what is the way to")
VERBS = ("cancel", "change", "renew", "find", "return", "insure", "track")
THINGS = ("my subscription", "the invoice", "a machine", "the address", "my parcel")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cache, [str(each) for each in arguments], env={"COLUMNS": "120"})


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def asked() -> list[dict[str, Any]]:
    """Thirty-five things that are asked for, each in four ways."""
    return [
        {"query": f"{opening} {verb} {thing}?", "answer_class": f"{verb} {thing}"}
        for opening, verb, thing in product(OPENINGS, VERBS, THINGS)
    ]


def cosine_verifier(path: Path, **provenance: Any) -> Path:
    verifier = Verifier(
        trees=Trees(
            np.array([[NAMES.index("cosine")]], np.int32),
            np.array([[0.95]], np.float32),
            np.array([[1]], np.uint16),
            np.array([[-2.0], [2.0]]),
        ),
        meanings=Meanings(["buy", "purchase"], np.array([[100, 0], [90, 30]], np.int8)),
        weights=np.ones(BUCKETS, np.float32),
        harms=np.zeros(BUCKETS, np.float32),
        calibration=(1.0, 0.0),
        provenance=provenance,
    )
    verifier.save(path)
    return path


# --- judging


@needs_encoder
def test_a_verifier_is_judged_beside_the_cosine(tmp_path: Path) -> None:
    labels = write(tmp_path / "asked.jsonl", [*asked(), *asked()[:7]])
    verifier = cosine_verifier(tmp_path / "verifier.npz")
    result = run("evaluate", labels, "--verifier", verifier, "--plot", tmp_path / "hits.svg", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["lookups"] == len(asked())  # the same words again are an exact hit
    assert report["verifier"]["version"] == Verifier.load(verifier).version
    assert report["trained_on_these"] is False
    for shares in report["hits"].values():
        few, more, most = (shares[wrong] for wrong in ("0.01", "0.02", "0.05"))
        assert 0 <= few <= more <= most <= 1
    assert report["hits"]["cosine"]["0.05"] > 0
    plot = (tmp_path / "hits.svg").read_text()
    assert plot.count("<polyline") == 2
    table = run("evaluate", labels, "--verifier", verifier).stdout
    assert "1 % wrong" in table
    assert "prove at 95 %" in table


@needs_encoder
def test_one_that_was_trained_on_these_questions_is_said_to_be(tmp_path: Path) -> None:
    labels = write(tmp_path / "asked.jsonl", asked())
    verifier = cosine_verifier(tmp_path / "verifier.npz", files=read([labels]).files)
    assert "will not be as good" in " ".join(run("evaluate", labels, "--verifier", verifier).stdout.split())


@needs_encoder
def test_pairs_are_lookups_with_candidates_of_their_own(tmp_path: Path) -> None:
    rows = [
        {"query": "how do I pay", "stored": "how can I pay", "same": True},
        {"query": "how do I pay", "stored": "how do I pay less", "same": False},
        {"query": "where are you", "stored": "where you are", "same": True},
        {"query": "the same", "stored": "the same", "same": True},
    ]
    result = run(
        "evaluate",
        write(tmp_path / "pairs.jsonl", rows),
        "--verifier",
        cosine_verifier(tmp_path / "v.npz"),
        "--json",
    )
    report = json.loads(result.stdout)
    assert (report["lookups"], report["pairs"], report["right"]) == (2, 3, 2)


# --- training


@needs_encoder
def test_a_verifier_is_trained_written_and_says_of_what(tmp_path: Path) -> None:
    words = cosine_verifier(tmp_path / "words.npz")
    labels = write(tmp_path / "asked.jsonl", asked())
    out = tmp_path / "own.npz"
    result = run("train", labels, "--out", out, "--from", words, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    made = Verifier.load(out)
    assert report["verifier"] == {"file": str(out), "version": made.version}
    assert made.provenance["encoder"] == read_card(BUILT).version
    assert made.provenance["files"] == read([labels]).files
    assert made.provenance["pairs"] == report["pairs"]
    assert made.meanings.names == ["buy", "purchase"]
    again = tmp_path / "again.npz"
    told = run("train", labels, "--out", again, "--from", words)
    assert again.read_bytes() == out.read_bytes()
    assert "verifier: " in told.stdout


@needs_encoder
def test_too_few_labels_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "own.npz"
    result = run("train", write(tmp_path / "few.jsonl", asked()[:20]), "--out", out)
    assert result.exit_code == 1
    assert "Too few labels" in result.stderr
    assert "in order of arrival" in result.stderr
    assert not out.exists()


def test_without_lightgbm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    result = run("train", write(tmp_path / "asked.jsonl", asked()))
    assert result.exit_code == 1
    assert "pip install 'weir[learn]'" in result.stderr


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: neither {query, answer_class}"),
        ('{"query": "a", "answer_class": 3}', "line 2: neither"),
        ('{"query": "a", "stored": "b", "same": 1}', "line 2: neither"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_wrong_line_is_named(tmp_path: Path, verb: str, line: str, advice: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{{"query": "a", "answer_class": "b"}}\n{line}\n')
    result = run(verb, path)
    assert result.exit_code == 1
    assert advice in " ".join(result.stderr.split())


def test_files_that_are_not_what_they_should_be_are_told(tmp_path: Path) -> None:
    empty, labels = write(tmp_path / "empty.jsonl", []), write(tmp_path / "asked.jsonl", asked()[:2])
    (tmp_path / "no.npz").write_bytes(b"no verifier")
    verifier = cosine_verifier(tmp_path / "v.npz")
    wrong: list[tuple[list[str | Path], str]] = [
        (["train", tmp_path / "none.jsonl"], "cannot be read"),
        (["train", labels, "--out", tmp_path / "none/v.npz"], "There is no folder"),
        (["evaluate", labels, "--verifier", tmp_path / "none.npz"], "cannot be read"),
        (["evaluate", labels, "--verifier", tmp_path / "no.npz"], "is no verifier"),
        (["evaluate", labels, "--verifier", verifier, "--encoder", tmp_path / "none"], "weir encoder build"),
    ]
    for arguments, advice in wrong:
        result = run(*arguments)
        assert result.exit_code == 1, arguments
        assert advice in " ".join(result.stderr.split())
    if (BUILT / "encoder.json").exists():
        assert "no labelled questions" in run("evaluate", empty, "--verifier", verifier).stderr
        assert "No two of these" in run("evaluate", labels, "--verifier", verifier).stderr


def test_a_plot_shows_each_curve_up_to_its_edge() -> None:
    drawn = svg({"one": [(0.0, 0.0), (0.05, 0.4), (0.5, 0.9)], "<two>": []})
    assert drawn.startswith("<svg ")
    assert drawn.count("<polyline") == 2
    assert "&lt;two&gt;" in drawn
    assert "44.0 %" in drawn  # a tenth above the highest hits that are shown


def test_dots_stand_beside_what_they_were_allowed_and_plots_beside_each_other() -> None:
    drawn = svg({"one": [(0.0, 0.0), (0.05, 0.4)]}, title="<A>", dots=[(0.01, 0.2, 0.02)])
    assert "&lt;A&gt;" in drawn
    assert drawn.count("<circle") == 1
    both = ElementTree.fromstring(side_by_side([drawn, drawn]))
    assert [part.get("x") for part in both] == ["0", "640"]
