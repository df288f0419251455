"""What the deployment files say, parsed: the files themselves are the subjects of these tests."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import yaml

from weir.__main__ import main

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def load_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def compose() -> Any:
    return load_yaml("compose.yaml")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def example_environment() -> dict[str, str]:
    """`.env.example` as a dict; a variable that must be filled in is empty."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables(text: str) -> dict[str, str]:
    """Variables that compose would fill into `text`, and what follows each name: `:?why` or `:-default`."""
    return dict(re.findall(r"(?<!\$)\$\{([A-Z_]+)([^}]*)\}", text))


def parse_command(arguments: list[str]) -> dict[str, Any]:
    """The options of a `weir` command line, by the real command line's own parser."""
    command: click.Command = main
    # With its settings: a command keeps the names of its help option from the first context that it meets.
    with click.Context(command, **command.context_settings) as context:
        while isinstance(command, click.Group):
            _, found, arguments = command.resolve_command(context, arguments)
            assert found is not None
            command = found
        return command.make_context(command.name, arguments, parent=context).params


def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile in order, as (name, rest)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    instructions = (line.split(maxsplit=1) for line in lines if line.strip())
    return [(name, rest) for name, rest in instructions]
