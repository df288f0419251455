"""Commands of a group, each in a file of its own that is imported only when it is called: `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from keyword import iskeyword

import click


def late_group(heading: str, commands: Mapping[str, str], module: str) -> type[click.Group]:
    """The class of a group of `commands`, from names to what they do, under `heading` in its help.

    `module` is where one is found: "weir.{}" for weir/NAME.py, which holds a command of its name, or
    `import_` where that is a word of Python's.
    """

    class LateGroup(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(commands)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            if name not in commands:
                return None
            found = f"{name}_" if iskeyword(name) else name
            command = getattr(import_module(module.format(name)), found)
            assert isinstance(command, click.Command)  # noqa: S101 - its file holds a command of its name
            return command

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))

    return LateGroup
