"""`weir encoder`: build the text encoder behind the semantic cache, and try it.

What is built is a folder of three files; `make` builds the default one, of the weights it installs.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import msgspec
import orjson

from encoder.card import BUILT, EncoderCard, EncoderFault
from weir.encoding import session_of

if TYPE_CHECKING:
    from encoder.session import Backend, Session

_TRIALS = 50
_INSTALL = "pip install 'weir[semantic]'"
_folder = click.Path(path_type=Path, file_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    epilog="""\b
Examples:
  weir encoder build
  weir encoder test "how do I reset my password" "I forgot my password"

\b
Exit status: 0 done, 1 it could not be."""
)
def encoder() -> None:
    """Build the text encoder, and try it."""


@encoder.command(
    epilog="""\b
Examples:
  weir encoder build
  weir encoder build --from all-MiniLM-L12-v2 --to .weir/encoder"""
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A sentence-transformers folder of a BERT with mean pooling, or one with a ready model.onnx and its "
    "tokenizer.json.  [default: the weights that come with Weir]",
)
@click.option(
    "--to", "target", type=_folder, default=BUILT, help="The folder to build it in.  [default: in Weir's own]"
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@_json
def build(source: Path | None, target: Path, quiet: bool, as_json: bool) -> None:
    """Make an encoder of a model's weights. It takes seconds, and the same weights give the same encoder."""
    try:
        from encoder.build import build as make
        from encoder.build import packaged

        card = make(packaged() if source is None else source, target)
    except ImportError as error:
        raise click.ClickException(f"{error}: {_INSTALL}") from error
    except EncoderFault as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        _print_json({"folder": str(target), **msgspec.to_builtins(card)})
    elif not quiet:
        click.echo(f"{_told(card)}, of {card.provenance.source}, in {target}")


@encoder.command(
    epilog="""\b
Examples:
  weir encoder test "how do I reset my password" "I forgot my password" "what is the weather"
  weir encoder test --backend openvino --json hello"""
)
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("--folder", type=_folder, default=BUILT, help="Where it was built.  [default: in Weir's own]")
@click.option(
    "--backend",
    type=click.Choice(["onnxruntime", "openvino"]),
    default="onnxruntime",
    show_default=True,
    help="What runs it.",
)
@_json
def test(texts: tuple[str, ...], folder: Path, backend: Backend, as_json: bool) -> None:
    """Encode texts: how long each takes, and how near they are to the first in meaning."""
    session = session_of(folder, backend)
    vectors = session.encode(texts)
    similarities = (vectors @ vectors[0]).tolist()
    rows = [
        {"text": text, "p50_ms": round(_p50_ms(session, text), 2), "similarity": round(similarity, 4)}
        for text, similarity in zip(texts, similarities, strict=True)
    ]
    if as_json:
        _print_json({"version": session.card.version, "dimensions": session.card.dimensions, "texts": rows})
        return
    click.echo(_told(session.card))
    click.echo("P50, ms  similarity  text")
    for row in rows:
        click.echo(f"{row['p50_ms']:7.2f}  {row['similarity']:10.3f}  {row['text']}")


def _p50_ms(session: Session, text: str) -> float:
    """Of one text by itself, on one core."""
    taken = []
    for _ in range(_TRIALS):
        began = time.perf_counter()
        session.encode([text])
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


def _told(card: EncoderCard) -> str:
    return f"{card.name} {card.version}: {card.dimensions} dimensions, {card.max_tokens} tokens at most"


def _print_json(value: dict[str, Any]) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
