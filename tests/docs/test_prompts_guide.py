"""What the guides to prompts show is what Weir takes: configuration, file, the way to production, and a search."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.config.load import load
from weir.prompts import prompts

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/prompts.md").read_text(encoding="utf-8")
OPTIMISE = (ROOT / "docs/guides/prompts-optimise.md").read_text(encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    settings, file = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    Path("support.yaml").write_text(file)
    Path("weir.yaml").write_text(settings)
    return Path("weir.yaml")


def test_its_configuration_and_its_file_can_be_used(config: Path) -> None:
    loaded = load(config)
    prompt = loaded.prompts["support"]
    assert [section.locked for section in prompt.sections] == [False, True]
    assert prompt.contract.checks
    assert len(prompt.demonstrations) == 1
    assert "Globex" in prompt.filled(loaded.config.tenants["globex"].slots).text


def test_its_way_to_production_and_back_can_be_gone(config: Path) -> None:
    Path("better.md").write_text("You help the customers of Tolvana. Be brief.")
    run = CliRunner().invoke
    added = run(prompts, ["add", "support", "better.md"])
    found = re.search("version ([0-9a-f]{16})", added.stdout)
    assert found is not None, added.output
    assert run(prompts, ["promote", "support", found[1]]).exit_code == 1
    assert run(prompts, ["promote", "support", found[1], "--as", "canary"]).exit_code == 0
    assert run(prompts, ["diff", "support", "file", "canary"]).exit_code == 0
    assert run(prompts, ["promote", "support", "canary", "--force", "--reason", "x"]).exit_code == 0
    assert run(prompts, ["rollback", "support", "--reason", "it invents refunds"]).exit_code == 0


def test_its_search_can_be_tried_without_a_key_and_what_it_finds_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    Path("examples").symlink_to(ROOT / "examples")
    found = re.search("^weir prompts (optimise --config .+)", OPTIMISE, re.MULTILINE)
    assert found is not None
    told = CliRunner().invoke(prompts, [*shlex.split(found[1]), "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "at most $5.00" in told.stderr
    served = re.search(r"make serve CONFIG=(\S+?)`", OPTIMISE)
    assert served is not None
    demo = load(ROOT / "examples/support/weir.yaml").config.tenants["acme"].keys
    assert load(Path(served[1])).config.tenants["acme"].keys == demo
