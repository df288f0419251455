"""`weir eval new`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from evals.suite import read_suite
from weir.eval_new import new


def test_a_suite_is_made_and_the_next_command_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(new, [str(tmp_path / "my first"), "--name", "Help desk"])
    assert done.exit_code == 0, done.output
    assert read_suite(tmp_path / "my first").name == "Help desk"
    assert f"weir eval run '{tmp_path / 'my first'}' --target" in done.output


def test_json_for_machines(tmp_path: Path) -> None:
    done = CliRunner().invoke(new, [str(tmp_path / "first"), "--json"])
    told = json.loads(done.output)
    assert told["version"] == read_suite(tmp_path / "first").version
    assert told["cases"] == 9


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    done = CliRunner().invoke(new, [str(tmp_path / "file")])
    assert done.exit_code == 1
    assert "nothing is overwritten" in done.output
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
