"""`weir rag search`: what a search in a store finds, and how well it fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.retrieval import Findings, Search, Turn
from encoder.card import EncoderFault
from router.librarian import encoder_folder
from weir.changing import json_option
from weir.rag_corpus import (
    check_tenant,
    store_of,
    store_option,
    tenant_option,
    with_storage,
)
from weir.router_artefact import print_json
from weir.state import config_option, read_config

if TYPE_CHECKING:
    from encoder.session import Session, Vectors
    from rag.ports import Storage
    from router.config.load import Loaded

_SHOWN = 160


@click.command(
    epilog="""\b
Examples:
  weir rag search "how long do refunds take?" --tenant acme --store handbook
  weir rag search "and for business customers?" --after "How long do refunds take?" --tenant acme --store handbook
  weir rag search "fees" --tenant acme --store handbook -n 3 --json"""
)
@click.argument("question")
@tenant_option
@store_option
@click.option("-n", "most", type=click.IntRange(1, 50), default=10, show_default=True, help="Most passages.")
@click.option("--after", multiple=True, help="What the user asked before; repeat for more.")
@config_option
@json_option
def search(
    question: str, tenant: str, store: str, most: int, after: tuple[str, ...], config: Path, as_json: bool
) -> None:
    """Find passages for QUESTION, the best first.

    The score is the probability that a passage helps to answer. Without an encoder, passages are found by their
    words alone, and that is said.
    """
    loaded = read_config(config)
    check_tenant(loaded, tenant)
    turns = tuple(Turn("user", text) for text in (*after, question))

    async def find(storage: Storage) -> Findings:
        from rag.retrieval.search import StoredLibrary

        found = await store_of(storage, tenant, store)
        library = StoredLibrary(storage, _encoder(loaded))
        return await library.search(tenant, Search(stores=(found.id,), turns=turns, most=most))

    findings = with_storage(loaded, find)
    if as_json:
        print_json(_document(findings))
    else:
        _tell(findings)


class _OwnEncoder:
    """A session as the port that searches ask, one text at a time."""

    up = True

    def __init__(self, session: Session) -> None:
        self._session = session
        self.version = session.card.version
        self.dimensions = session.card.dimensions

    async def encode(self, text: str) -> Vectors:
        row: Vectors = self._session.encode([text])[0]
        return row


def _encoder(loaded: Loaded) -> _OwnEncoder | None:
    """None where none is built or what runs it is not installed."""
    try:
        from encoder.session import Session

        return _OwnEncoder(Session(encoder_folder(loaded), loaded.config.encoder.backend))
    except (ImportError, EncoderFault) as error:
        click.echo(f"Compared by words alone: {error}", err=True)
        return None


def _document(findings: Findings) -> dict[str, Any]:
    return {
        "answerable": findings.answerable,
        "queries": list(findings.queries),
        "rewritten": findings.rewritten,
        "degraded": findings.degraded,
        "stores": to_builtins(findings.stores),
        "passages": [to_builtins(passage) for passage in findings.passages],
    }


def _tell(findings: Findings) -> None:
    if findings.rewritten:
        click.echo(f"Searched for: {' | '.join(findings.queries)}", err=True)
    if not findings.passages:
        click.echo("Nothing was found.")
        return
    table = Table(box=SIMPLE)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("place", justify="right", no_wrap=True)
    table.add_column("text")
    for passage in findings.passages:
        words = " ".join(passage.text.split())
        shown = words if len(words) <= _SHOWN else f"{words[:_SHOWN]} ..."
        place = f"{passage.start}-{passage.end}"
        table.add_row(f"{passage.score:.2f}", escape(passage.filename), place, escape(shown))
    Console().print(table)
    click.echo(f"Probability that they hold the answer: {findings.answerable:.2f}.")
