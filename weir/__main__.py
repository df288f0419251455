"""`weir`: one verb per file. Verbs are imported only when called, so that `weir --help` is quick."""

from __future__ import annotations

import click

from weir.late import late_group

_VERBS = {
    "serve": "Start the proxy.",
    "check": "Validate a configuration.",
    "report": "Reports from the ledger.",
    "prices": "What models cost, and what GPUs of your own get done.",
    "cache": "Look into the cache, take answers back, train its verifier.",
    "route": "What a route would decide about a question, and why.",
    "router": "Train, evaluate and promote what routes learn.",
    "eval": "Suites, runs, comparisons and gates: is it good enough, and is the difference real?",
    "distill": "From traffic to a student: a small model of its own that may answer part of it.",
    "rag": "Documents that answers are built on: into stores, in step with folders, searched.",
    "encoder": "Build the text encoder, and try it.",
    "keys": "Make, list and revoke keys.",
    "tenants": "Make, list, change and close tenants.",
    "budgets": "Set, list and remove budgets.",
    "audit": "Who changed tenants, keys and budgets; is the log of it whole?",
    "ledger": "The ledger's state, roll-ups and old events.",
    "prompts": "Prompts: their versions, which of them serves, and better ones.",
    "registry": "What was learned, what is in use, and every change.",
    "reference": "Print the configuration reference.",
    "scripted": "Start the scripted stand-in as a server of its own.",
}


@click.group(
    cls=late_group("Verbs", _VERBS, "weir.{}"),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try `weir serve --config examples/support/weir.yaml`, or VERB --help.",
)
@click.version_option(package_name="weir")
def main() -> None:
    """An OpenAI-compatible proxy: common requests are answered cheaply, only the hard ones spill over."""


if __name__ == "__main__":
    main()
