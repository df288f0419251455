"""`weir rag`: documents into stores, and what is found in them. Each verb is in a file of its own."""

from __future__ import annotations

import click

from weir.late import late_group

_VERBS = {
    "add": "Put files into a store.",
    "sync": "Bring a store in step with a folder.",
    "search": "What a search in a store finds.",
    "status": "Stores, their documents, and what could not be read.",
    "delete": "Take files out of a store, or delete it.",
}


@click.group(
    cls=late_group("Verbs", _VERBS, "weir.rag_{}"),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  weir rag sync docs/ --tenant acme --store handbook
  weir rag search "how long do refunds take?" --tenant acme --store handbook
  weir rag status --tenant acme

\b
Exit status: 0 done, 1 it could not be or a file was not taken in, 2 a wrong option, 130 stopped by Ctrl-C.""",
)
def rag() -> None:
    """Documents that answers are built on: Markdown, text, HTML, PDF and DOCX files.

    Files are cut into chunks that are found by their words and by their meaning. These verbs work on the storage of
    the configuration, `rag.url` or the state folder, whether a server runs or not; what they change is found by the
    server's next search.
    """
