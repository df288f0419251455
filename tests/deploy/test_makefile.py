"""`make setup` in every state it may find, with a stand-in for Python that only writes down what it is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.deployment import ROOT

PYTHON = """\
#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
  *version_info*"3, 11"*) test ! -e "{home}/is-old" ;;
  *version_info*) echo python3.11-venv ;;
  *ensurepip*) test ! -e "{home}/has-no-venv" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *install*) test ! -e "{home}/is-offline" ;;
  --version) echo Python 3.10.1 ;;
esac
"""


@dataclass
class Machine:
    """A project folder and a Python, neither of them real."""

    home: Path

    @property
    def venv(self) -> Path:
        return self.home / ".venv"

    def make(self, *targets: str) -> subprocess.CompletedProcess[str]:
        # When `make check` runs this, its own settings are in the environment, and would be this make's too.
        inherited = ("MAKE", "MFLAGS", "VENV", "PYTHON", "ARGS", "CONFIG", "LOG", "HOST", "PORT")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
        return subprocess.run(
            ["make", *targets, f"PYTHON={self.home}/python"],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self) -> list[str]:
        """What Python was asked since the last time."""
        log = self.home / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def installed(self) -> list[str]:
        return [line.split("-r ")[-1] for line in self.asked() if "--require-hashes" in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements").mkdir()
    for lock in ("serve", "dev", "encoder"):
        (tmp_path / f"requirements/{lock}.txt").touch()
    python = tmp_path / "python"
    python.write_text(PYTHON.format(home=tmp_path, log=tmp_path / "log"))
    python.chmod(0o755)
    return Machine(tmp_path)


def test_setup_installs_locked_packages_then_weir_itself_and_builds_the_encoder(machine: Machine) -> None:
    assert machine.make("setup").returncode == 0
    asked = machine.asked()
    installs = [line for line in asked if " install " in line]
    assert len(installs) == 3
    assert "--only-binary :all: --require-hashes -r requirements/serve.txt" in installs[0]
    assert "--only-binary :all: --no-deps --require-hashes -r requirements/encoder.txt" in installs[1]
    assert "--no-deps --no-build-isolation -e ." in installs[2]
    assert asked[-1].endswith("-m weir encoder build --quiet")


def test_a_second_setup_starts_no_python_at_all(machine: Machine) -> None:
    machine.make("setup")
    machine.asked()
    assert machine.make("setup").returncode == 0
    assert machine.asked() == []


@pytest.mark.parametrize("changed", ["requirements/serve.txt", "requirements/encoder.txt", "pyproject.toml"])
def test_a_changed_lock_is_installed_into_the_same_environment(machine: Machine, changed: str) -> None:
    machine.make("setup")
    machine.asked()
    for stamp in machine.venv.glob(".ready-*"):
        os.utime(stamp, (0, 0))
    assert machine.make("setup").returncode == 0
    asked = machine.asked()
    assert not any(line.startswith("-m venv") for line in asked)
    assert any("--require-hashes" in line for line in asked)


def test_the_test_environment_can_serve_without_another_installation(machine: Machine) -> None:
    assert machine.make(".venv/.ready-to-test").returncode == 0
    assert machine.installed() == ["requirements/dev.txt", "requirements/encoder.txt"]
    assert machine.make("setup").returncode == 0
    assert machine.installed() == []


def test_an_installation_that_did_not_finish_is_started_over(machine: Machine) -> None:
    (machine.home / "is-offline").touch()
    assert machine.make("setup").returncode != 0
    (machine.venv / "half a package").touch()
    (machine.home / "is-offline").unlink()
    again = machine.make("setup")
    assert again.returncode == 0
    assert "Starting over" in again.stdout
    assert not (machine.venv / "half a package").exists()


def test_an_old_python_is_refused_with_advice(machine: Machine) -> None:
    (machine.home / "is-old").touch()
    refused = machine.make("setup")
    assert refused.returncode != 0
    assert "is Python 3.10.1; Weir needs 3.11 or newer" in refused.stdout
    assert not machine.venv.exists()


def test_a_python_that_cannot_make_environments_is_refused_with_the_packages_name(machine: Machine) -> None:
    (machine.home / "has-no-venv").touch()
    refused = machine.make("setup")
    assert refused.returncode != 0
    assert "apt install python3.11-venv" in refused.stdout
    assert not machine.venv.exists()


def test_serve_replaces_its_shell_by_weir_with_the_example(machine: Machine) -> None:
    dry = machine.make("--dry-run", "serve", "PORT=9000").stdout.splitlines()
    assert dry[-1] == (
        'exec .venv/bin/weir serve --config "examples/support/weir.yaml" --host "127.0.0.1" --port "9000"'
    )


def test_help_lists_every_job(machine: Machine) -> None:
    jobs = {line.split()[1] for line in machine.make().stdout.splitlines()}
    assert jobs == {"help", "setup", "serve", "test", "check", "bench", "replay", "lock", "clean"} | {
        "student",
        "test-train",
        "test-vllm",
    }
