"""`weir cache train` and `weir cache evaluate`: a verifier of one's own, from questions whose answers are known.

The non-obvious decision: the table after a training is made of cross-fitted scores, of models that had not seen the
question's group. What a verifier says of the questions it was trained on is better than what it will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from weir.curve_svg import svg
from weir.encoding import encoder_option, session_of
from weir.labelled import FLOOR, Labels, Near, near, read

if TYPE_CHECKING:
    from cache.matching.training import Labelled
    from cache.matching.verifier import Verifier
    from encoder.session import Session

_LEAST = 100
"""Right pairs, and wrong ones, without which trees learn nothing that holds."""
_LEAST_GROUPS = 20
_MINED_FLOOR = 0.5
_ASKED = (0.01, 0.02, 0.05)
_CONFIDENCE = 0.95

_files = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, dir_okay=False)
)
_plot_option = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw hits against wrong hits: an SVG file."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(
    epilog="""\b
Examples:
  weir cache train asked.jsonl --out verifier.npz
  weir cache train asked.jsonl pairs.jsonl --out verifier.npz --plot hits.svg

\b
Then, in the configuration:
  cache: {matching: {verifier: verifier.npz}}"""
)
@_files
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("verifier.npz"),
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--from",
    "words",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take what words mean from this verifier.  [default: the one that Weir brings along]",
)
@encoder_option
@_plot_option
@_json_option
def train(
    files: tuple[Path, ...], out: Path, words: Path | None, encoder: Path, plot: Path | None, as_json: bool
) -> None:
    """Train a verifier on your own questions.

    Each line of FILE is a JSON object: {"query", "answer_class"}, questions in the order in which they were asked,
    where equal classes have one answer; or {"query", "stored", "same"}, a question, one that was asked before, and
    whether its answer does. Some thousands of the first kind make a good verifier.
    """
    if find_spec("lightgbm") is None:
        raise click.ClickException("Training needs lightgbm: pip install 'weir[learn]'.")
    if not out.parent.is_dir():
        raise click.ClickException(f"There is no folder {out.parent} to write {out.name} to.")
    labels, meanings = read(files), _verifier(words).meanings
    with _progress(as_json) as bar:
        session = session_of(encoder)
        found = _near(labels, session, bar, _MINED_FLOOR)
        _check_enough(found.pairs)
        from cache.matching.training import train as learn

        done = bar("learning, five times and once more", None)
        try:
            trained = learn(found.pairs, meanings, provenance=_provenance(labels, found, session))
        except ValueError as error:
            raise click.ClickException(f"{error}: label more questions, of more answer classes.") from error
        done(1)
    _write(out, trained.verifier.dumps())
    scores = trained.scores.tolist()
    report = {
        "verifier": {"file": str(out), "version": trained.verifier.version},
        "trained_on_these": False,  # cross-fitted
        **_report(found, scores),
    }
    _draw(plot, found, scores)
    _tell(report, as_json)
    if not as_json:
        click.echo(f"Wrote {out}. To use it: cache: {{matching: {{verifier: {out}}}}} in the configuration.")


@click.command(
    epilog="""\b
Examples:
  weir cache evaluate asked.jsonl
  weir cache evaluate asked.jsonl --verifier verifier.npz --plot hits.svg --json"""
)
@_files
@click.option(
    "--verifier",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The one to judge.  [default: the one that Weir brings along]",
)
@encoder_option
@_plot_option
@_json_option
def evaluate(files: tuple[Path, ...], file: Path | None, encoder: Path, plot: Path | None, as_json: bool) -> None:
    """Judge a verifier on labelled questions that it was not trained on. FILE is as for `weir cache train`."""
    labels = read(files)
    verifier = _verifier(file)
    with _progress(as_json) as bar:
        found = _near(labels, session_of(encoder), bar, FLOOR)
        if not found.pairs:
            raise click.ClickException(
                "No two of these questions are near each other, so there is nothing to judge."
            )
        scores = _scores(verifier, found.pairs, bar)
    known = {one.get("blake2b") for one in verifier.provenance.get("files", ())}
    report = {
        "verifier": {"file": str(file or "the one that Weir brings along"), "version": verifier.version},
        "trained_on_these": any(one["blake2b"] in known for one in labels.files),
        **_report(found, scores),
    }
    _draw(plot, found, scores)
    _tell(report, as_json)


_Bar = Callable[[str, int | None], Callable[[int], None]]


@contextmanager
def _progress(hidden: bool) -> Iterator[_Bar]:
    """On standard error, and only where somebody looks."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=hidden or not console.is_terminal) as progress:

        def bar(what: str, total: int | None) -> Callable[[int], None]:
            task = progress.add_task(what, total=total)
            return lambda steps: progress.advance(task, steps)

        yield bar


def _near(labels: Labels, session: Session, bar: _Bar, floor: float) -> Near:
    if not labels.texts:
        raise click.ClickException("There are no labelled questions in these files.")
    return near(labels, session, bar("encoding", len(labels.texts)), floor=floor)


def _verifier(path: Path | None) -> Verifier:
    from cache.matching.verifier import Verifier
    from cache.room import VERIFIER

    path = path or VERIFIER
    try:
        return Verifier.load(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise click.ClickException(f"{path} is no verifier of this Weir: {error}.") from error


def _check_enough(pairs: Sequence[Labelled]) -> None:
    right = sum(pair.right for pair in pairs)
    wrong, groups = len(pairs) - right, len({pair.group for pair in pairs})
    if right < _LEAST or wrong < _LEAST or groups < _LEAST_GROUPS:
        raise click.ClickException(
            f"Too few labels: {right} near questions with the same answer and {wrong} with another one, of "
            f"{groups} answer classes; it takes {_LEAST}, {_LEAST} and {_LEAST_GROUPS}.\n"
            "Label more of what was really asked, in order of arrival; the verifier that Weir brings along serves "
            "until then."
        )


def _provenance(labels: Labels, found: Near, session: Session) -> dict[str, Any]:
    return {
        "made_by": "weir cache train",
        "files": labels.files,
        "encoder": session.card.version,
        "lookups": found.lookups,
        "pairs": len(found.pairs),
        "right": sum(pair.right for pair in found.pairs),
    }


def _scores(verifier: Verifier, pairs: Sequence[Labelled], bar: _Bar) -> list[float]:
    step = bar("judging", len(pairs))
    scores = []
    for pair in pairs:
        stored = [verifier.profile(pair.stored)]
        scores += verifier.judge(verifier.profile(pair.query), stored, [pair.similarity])
        step(1)
    return scores


def _report(found: Near, scores: Sequence[float]) -> dict[str, Any]:
    from cache.acceptance import AcceptanceTerms
    from cache.matching.evaluation import evidence_of, hits_at

    pairs, lookups = found.pairs, found.lookups
    by = {"cosine": [pair.similarity for pair in pairs], "verifier": scores}
    hits = {
        name: {
            f"{wrong:g}": round(hits_at(pairs, some, lookups=lookups, floor=FLOOR, wrong=wrong), 5)
            for wrong in _ASKED
        }
        for name, some in by.items()
    }
    evidence = evidence_of(pairs, scores, lookups=lookups, floor=FLOOR)
    hits["proved"] = {
        f"{wrong:g}": round(
            evidence.choice(AcceptanceTerms(max_wrong_hits=wrong, confidence=_CONFIDENCE)).share,
            5,
        )
        for wrong in _ASKED
    }
    return {"lookups": lookups, "pairs": len(pairs), "right": sum(pair.right for pair in pairs), "hits": hits}


def _draw(path: Path | None, found: Near, scores: Sequence[float]) -> None:
    if path is not None:
        from cache.matching.evaluation import curve

        by = {"cosine": [pair.similarity for pair in found.pairs], "verifier": scores}
        lines = {name: curve(found.pairs, some, lookups=found.lookups, floor=FLOOR) for name, some in by.items()}
        _write(path, svg(lines).encode())


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from error


_ROWS = {
    "cosine": "cosine alone, the best threshold",
    "verifier": "verifier, the best threshold",
    "proved": f"verifier, what these labels prove at {100 * _CONFIDENCE:g} %",
}


def _tell(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table(title="Share of lookups answered, by the share of lookups that may be answered wrongly")
    table.add_column("")
    for wrong in _ASKED:
        table.add_column(f"{100 * wrong:g} % wrong", justify="right")
    for name, label in _ROWS.items():
        table.add_row(label, *(f"{100 * share:.1f} %" for share in report["hits"][name].values()))
    console = Console()
    console.print(table)
    console.print(
        f"{report['lookups']:,} lookups, {report['pairs']:,} labelled pairs, {report['right']:,} of them right. "
        f"Verifier {report['verifier']['version']}.",
        highlight=False,
    )
    if report["trained_on_these"]:
        console.print("This verifier was trained on one of these files: it will not be as good as this elsewhere.")
