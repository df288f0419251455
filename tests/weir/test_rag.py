"""`weir rag`: files and folders into stores, and what people are told; killed, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from encoder.card import BUILT, CARD
from rag.ingesting.embedding import AT_ONCE
from weir.rag import rag

needs_encoder = pytest.mark.skipif(
    not (BUILT / CARD).exists() and not os.environ.get("CI"), reason="the encoder is not built: weir encoder build"
)
CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
routes: {support: {candidates: [large]}}
tenants: {acme: {}, globex: {}}
stores: {declared: {folder: kept, tenants: [acme]}}
"""
HANDBOOK = ("--tenant", "acme", "--store", "handbook")
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "120")
    Path("weir.yaml").write_text(CONFIG)
    Path("kept").mkdir()
    Path("docs/more").mkdir(parents=True)
    Path("docs/returns.md").write_text("# Returns\n\nA parcel may come back within thirty days.\n")
    Path("docs/more/fees.html").write_text("<h1>Fees</h1><p>A return costs five euros.</p>")
    Path("docs/logo.png").write_bytes(b"\x89PNG")
    return lambda *arguments, stdin=None: CliRunner().invoke(rag, [str(each) for each in arguments], input=stdin)


def told(result: Result) -> str:
    return " ".join(result.output.split())


@needs_encoder
def test_a_folder_is_synced_searched_shown_and_deleted(run: Run) -> None:
    synced = run("sync", "docs", *HANDBOOK)
    assert synced.exit_code == 0
    assert synced.stdout == "handbook: 2 new, 0 changed, 0 gone, 0 as they were; 2 chunks, 2 of them encoded.\n"
    assert "Left out, since they are no documents: 1 .png." in synced.stderr
    assert run("sync", "docs", *HANDBOOK).stdout == "handbook: 0 new, 0 changed, 0 gone, 2 as they were.\n"

    found = json.loads(run("search", "What does it cost to return something?", *HANDBOOK, "--json").stdout)
    assert {passage["filename"] for passage in found["passages"]} <= {"more/fees.html", "returns.md"}
    best = found["passages"][0]
    assert (best["filename"], best["text"]) == ("more/fees.html", "# Fees\n\nA return costs five euros.")
    assert "more/fees.html" in run("search", "fees", *HANDBOOK, "-n", "1").stdout

    (shown,) = json.loads(run("status", "--tenant", "acme", "--json").stdout)
    assert (shown["store"], shown["completed"], shown["failed"], shown["outdated"]) == ("handbook", 2, 0, 0)
    assert json.loads(run("status", "--tenant", "globex", "--json").stdout) == []
    assert "more/fees.html completed, 1 chunk" in told(run("status", *HANDBOOK))

    assert run("delete", "returns.md", *HANDBOOK, stdin="n\n").exit_code == 1
    assert run("delete", "returns.md", *HANDBOOK, stdin="y\n").stdout.endswith("Deleted 1 document of handbook.\n")
    done = json.loads(run("delete", "--all", *HANDBOOK, "--yes", "--json").stdout)
    assert (done["deleted"], done["store_deleted"]) == (["more/fees.html"], True)
    assert "There are no stores" in run("status").stdout


@needs_encoder
def test_files_are_added_under_their_own_names(run: Run) -> None:
    assert "1 new" in run("add", "docs/returns.md", *HANDBOOK).stdout
    assert "0 new, 0 changed, 0 gone, 1 as they were" in run("add", "docs/returns.md", *HANDBOOK).stdout
    Path("docs/returns.md").write_text("# Returns\n\nNot any more.\n")
    added = json.loads(run("add", "docs/returns.md", "docs/more/fees.html", *HANDBOOK, "--json").stdout)
    assert (added["new"], added["changed"], added["gone"]) == (["fees.html"], ["returns.md"], [])


@needs_encoder
def test_a_file_that_cannot_be_read_is_told_and_the_others_go_in(run: Run) -> None:
    Path("docs/scan.pdf").write_bytes(b"%PDF-1.7")
    synced = run("sync", "docs", *HANDBOOK)
    assert synced.exit_code == 1
    assert "1 file not taken in: scan.pdf: It cannot be read as PDF" in told(synced)
    assert synced.stdout.startswith("handbook: 2 new")


def test_a_dry_run_changes_nothing(run: Run) -> None:
    planned = run("sync", "docs", *HANDBOOK, "--dry-run")
    assert planned.exit_code == 0
    assert planned.stdout.startswith("+ more/fees.html\n+ returns.md\nhandbook: 2 new")
    assert json.loads(run("sync", "docs", *HANDBOOK, "--dry-run", "--json").stdout)["new"] == [
        "more/fees.html",
        "returns.md",
    ]
    assert "There are no stores" in run("status").stdout


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (
            ["sync", "docs", "--tenant", "nobody", "--store", "a"],
            "There is no tenant 'nobody'. There are: acme, globex.",
        ),
        (["sync", "missing", *HANDBOOK], "missing"),
        (["sync", "docs", "--tenant", "acme", "--store", "declared"], "in step with"),
        (["add", "docs/returns.md", "--tenant", "acme", "--store", "declared"], "stores.declared"),
        (["add", "docs", *HANDBOOK], "There is no file docs. It is a folder: take weir rag sync."),
        (
            ["add", "docs/returns.md", "docs/../docs/returns.md", *HANDBOOK],
            "Two of the files have the name returns.md",
        ),
        (["add", "docs/logo.png", *HANDBOOK], "Markdown, text, HTML, PDF, DOCX"),
        (["search", "x", *HANDBOOK], "acme has no store 'handbook'. There are none yet"),
        (["status", "--store", "a"], "--tenant"),
        (["delete", *HANDBOOK], "--all"),
        (["delete", "a.md", *HANDBOOK], "no store 'handbook'"),
        (["status", "--config", "missing.yaml"], "missing.yaml"),
    ],
)
@needs_encoder
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], advice: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert advice in told(result)


@pytest.mark.parametrize("verb", ["add", "sync", "search", "status", "delete"])
def test_help_has_an_example(run: Run, verb: str) -> None:
    assert f"weir rag {verb}" in run(verb, "--help").stdout


def _staged() -> int:
    """Vectors on the stage, by a look into the database."""
    try:
        with sqlite3.connect("file:state/rag/acme/corpus.db?mode=ro", uri=True) as connection:
            return int(connection.execute("select count(*) from rag_staged").fetchone()[0])
    except sqlite3.OperationalError:  # there is none yet
        return 0


@needs_encoder
def test_killed_a_sync_leaves_the_store_as_it_was_and_goes_on_where_it_was(run: Run) -> None:
    parts = [f"## Part {number}\n\nIt rains for {number} days.\n" for number in range(AT_ONCE + 40)]
    Path("docs/long.md").write_text("\n".join(parts))
    Path("docs/returns.md").unlink()
    assert run("add", "docs/more/fees.html", *HANDBOOK).exit_code == 0
    (before,) = json.loads(run("status", "--json").stdout)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "weir", "rag", "sync", "docs", *HANDBOOK, "--json"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE) as killed:
        while not _staged() and killed.poll() is None:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    (after,) = json.loads(run("status", "--json").stdout)
    if after["version"] == before["version"]:
        again = json.loads(run("sync", "docs", *HANDBOOK, "--json").stdout)
        assert again["gone"] == ["fees.html"]
        assert again["chunks"] == len(parts) + 1
        assert again["encoded"] <= len(parts) + 1 - AT_ONCE
        assert _staged() == 0
    (done,) = json.loads(run("status", "--json").stdout)
    assert (done["completed"], done["chunks"], done["revision"]) == (2, len(parts) + 1, before["revision"] + 1)
