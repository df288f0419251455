"""`weir`: one verb per file. Verbs are imported only when called, so that `weir --help` is quick."""

from __future__ import annotations

from importlib import import_module

import click

_VERBS = {
    "serve": "Start the proxy.",
    "check": "Validate a configuration.",
    "report": "Reports from the ledger.",
    "prices": "What models cost, and what GPUs of your own get done.",
    "cache": "Look into the cache, take answers back, train its verifier.",
    "route": "What a route would decide about a question, and why.",
    "router": "Train, evaluate and promote what routes learn.",
    "encoder": "Build the text encoder, and try it.",
    "keys": "Make, list and revoke keys.",
    "tenants": "Make, list, change and close tenants.",
    "budgets": "Set, list and remove budgets.",
    "audit": "Who changed tenants, keys and budgets; is the log of it whole?",
    "ledger": "The ledger's state, roll-ups and old events.",
    "registry": "What was learned, what is in use, and every change.",
    "reference": "Print the configuration reference.",
    "scripted": "Start the scripted stand-in as a server of its own.",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command = getattr(import_module(f"weir.{name}"), name)
        assert isinstance(command, click.Command)  # noqa: S101 - a verb's file holds a command of its name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try `weir serve --config examples/support/weir.yaml`, or VERB --help.",
)
@click.version_option(package_name="weir")
def main() -> None:
    """An OpenAI-compatible proxy: common requests are answered cheaply, only the hard ones spill over."""


if __name__ == "__main__":
    main()
