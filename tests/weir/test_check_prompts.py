"""`weir check` also says what became of the prompts that were promoted in the state folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from prompts.evidence import written
from prompts.prompt import BookedPrompt
from registry.prompts import PROMPT, promote, put
from registry.store import Registry
from tests.prompts.plain_evidence import plain_evidence
from weir.check import check

CONFIG = """\
upstreams:
  pretend: {kind: scripted}
models:
  small: {upstream: pretend, name: echo, price: {input: 1, output: 1}}
prompts:
  support: {file: support.md}
routes:
  support: {candidates: [small], prompt: support}
tenants:
  acme: {}
"""
FOUND = BookedPrompt.plain("Be brief.", "prepend")
WRITTEN = BookedPrompt.plain("Be nice.", "prepend")
EVIDENCE = plain_evidence(FOUND.version, before=WRITTEN.version)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where FOUND is promoted over WRITTEN."""
    (tmp_path / "weir.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "support.md").write_text("Be nice.", encoding="utf-8")
    registry = Registry(tmp_path / "state/registry")
    put(registry, "support", FOUND.content, "me")
    registry.verdict(
        PROMPT, "support", FOUND.version, passed=True, by="me", reason="better", evidence=written(EVIDENCE)
    )
    promote(registry, "support", WRITTEN.content, FOUND.version, by="me", reason="better")
    return tmp_path


def run(folder: Path, *options: str) -> Result:
    environ = {"WEIR_STATE_DIR": str(folder / "state")}
    return CliRunner().invoke(check, ["--config", str(folder / "weir.yaml"), *options], env=environ)


def test_a_measured_prompt_needs_no_word(folder: Path) -> None:
    result = run(folder)
    assert (result.exit_code, result.stderr) == (0, "")


def test_one_whose_model_is_another_now_must_be_optimised_again(folder: Path) -> None:
    (folder / "weir.yaml").write_text(CONFIG.replace("name: echo", "name: mirror"), encoding="utf-8")
    result = run(folder)
    assert result.exit_code == 0
    assert result.stderr == (
        f"Warning: prompts.support: {FOUND.version} must be optimised again: `small` is mirror of pretend now; it "
        "was measured with echo of pretend. weir prompts optimise --route support --suite suite --optimiser gepa "
        f"--config {folder / 'weir.yaml'}\n"
    )


def test_one_that_an_edit_set_aside_is_named(folder: Path) -> None:
    (folder / "support.md").write_text("Be nicer.", encoding="utf-8")
    assert run(folder).stderr == (
        f"Warning: prompts.support: {FOUND.version} was promoted and is set aside, because the file was edited "
        "since\n"
    )


def test_what_cannot_be_read_is_a_warning(folder: Path) -> None:
    (path,) = (folder / "state/registry").glob("prompt/*/aliases.json")
    path.write_text("no", encoding="utf-8")
    result = run(folder)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"Warning: what was promoted cannot be read: {path}")


def test_one_that_is_damaged_is_told(folder: Path) -> None:
    (path,) = (folder / "state/registry").glob(f"prompt/*/versions/{FOUND.version}/prompt.json")
    path.chmod(0o600)
    path.write_text("no", encoding="utf-8")
    result = run(folder)
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: prompts.support: what was promoted cannot serve: Version")
