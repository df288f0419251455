"""The example's gate, by the commands of its README: a worsened prompt does not get past it, a sound one does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from tests.e2e.running import ROOT, environment

EXAMPLE = ROOT / "examples/support"
LOST = ("- If Tolvana's information does not cover", "- Answer in the language of the last message")
"""Two lines that an edit might well drop: the first goes on in a second line."""
PROMPT = (EXAMPLE / "prompts/support.md").read_text(encoding="utf-8")
Weir = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def weir(tmp_path: Path) -> Weir:
    def weir(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weir", "eval", *arguments],
            capture_output=True,
            text=True,
            env=environment(tmp_path / "state") | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")},
            cwd=tmp_path,
            timeout=120,
        )

    return weir


def worsened() -> str:
    lines = re.split(r"\n(?=- )", PROMPT)
    kept = [line for line in lines if not line.startswith(LOST)]
    assert len(kept) == len(lines) - len(LOST)
    return "\n".join(kept)


def commands() -> list[list[str]]:
    """Those of the README's section, without `weir eval`."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    section = text.split("## A gate for its prompt")[1].split("\n## ")[0]
    joined = section.replace("\\\n", " ")
    return [line.split()[2:] for line in joined.splitlines() if line.startswith("    weir eval")]


def test_the_readmes_gate_stops_a_worsened_prompt_and_names_the_segments(weir: Weir, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "worse.md").write_text(worsened(), encoding="utf-8")
    *runs, gate = commands()
    for command in runs:
        done = weir(*command)
        assert done.returncode == 0, done.stderr
    refused = weir(*gate, "--junit", "gate.xml", "--json")
    assert refused.returncode == 1, refused.stderr
    verdict = json.loads(refused.stdout)
    assert {"out_of_scope", "adversarial"} <= set(verdict["segments"])
    assert verdict["groups"] == ["lang=es"]
    assert "quality.need" in {check["rule"] for check in verdict["checks"] if not check["passed"]}
    assert "`out_of_scope`" in (tmp_path / "summary.md").read_text()
    names = [
        case.get("name") for case in fromstring((tmp_path / "gate.xml").read_bytes()).iterfind(".//failure/..")
    ]
    assert "segments.floors: out_of_scope" in names

    (tmp_path / "sound.md").write_text(f"{PROMPT}\nThank people for their patience.\n")
    for command in (runs[1], gate):
        sound = weir(*[argument.replace("worse", "sound") for argument in command])
        assert sound.returncode == 0, sound.stdout
    assert "Passed" in sound.stdout
