"""`weir router train`: from what was written down to an artefact with its evidence, and no further."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weir.encoding import encode_with, encoder_option, session_of
from weir.registry_state import faults
from weir.router_artefact import (
    KIND,
    Subject,
    advice,
    json_option,
    need_libraries,
    of_a_route,
    operator,
    plain,
    print_json,
    registry_here,
    steps,
    subject,
)


@click.command(
    epilog="""\b
Examples:
  weir router train --route auto --tenant acme
  weir router train --route auto --tenant acme --outcomes evals.jsonl --intents intents.jsonl
  weir router train --route auto --tenant acme --out router/ --json"""
)
@of_a_route
@click.option(
    "--outcomes",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="More scores: JSON lines of {query, model, score}. Can be given several times.",
)
@click.option(
    "--intents",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Examples of intents: JSON lines of {text, intent}; `unknown` is one.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write into this folder, not the registry."
)
@encoder_option
@json_option
def train(
    config: Path,
    route: str,
    tenant: str | None,
    files: tuple[Path, ...],
    intents: Path | None,
    out: Path | None,
    encoder: Path,
    as_json: bool,
) -> None:
    """Learn from what was written down, measured on questions that were held back."""
    need_libraries()
    about = subject(config, route, tenant)
    from distill.router import Router, learn_router

    session = session_of(encoder)
    try:
        with steps(as_json) as step:
            lesson = _lesson(about, files, intents, session.card.version)
            learned: Router = learn_router(lesson, encode_with(session), prior=_prior(), progress=step)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"Nothing could be learned: {error}.\n{advice(about)}") from error
    version = _stored(about, learned.files, learned.card, out)
    if as_json:
        print_json({"version": version, "evidence": plain(learned.evidence), "left_out": dict(learned.left_out)})
        return
    console = Console()
    console.print(_evidence(learned.card["evidence"]))
    for name, why in learned.left_out.items():
        console.print(f"Not learned: {name} ({escape(why)}).", highlight=False)
    where = f"in {out}" if out else f"version {version} of {about.name}"
    console.print(f"Learned: {', '.join(learned.files)}, {where}.", highlight=False)
    if out is None:
        owner = f" --tenant {about.owner}" if about.owner else ""
        console.print(f"Let it decide: weir router promote --route {route}{owner} {version}", highlight=False)


def _lesson(about: Subject, files: tuple[Path, ...], intents: Path | None, encoder: str) -> Any:
    from distill.intents import read_examples
    from distill.outcomes import read_outcomes
    from distill.router import Lesson
    from distill.traffic import read_traffic

    traffic = read_traffic(about.lines(), about.route)
    for file in files:
        traffic.outcomes.extend(read_outcomes(file))
    return Lesson(
        route=about.route,
        owner=about.owner,
        reference=about.reference,
        candidates=about.models,
        traffic=traffic,
        examples=read_examples(intents) if intents else (),
        encoder=encoder,
    )


def _prior() -> Any:
    """What Weir brings along, where this version does."""
    from heads.prior import Prior
    from router.choice.prior import PRIOR

    return Prior.read(PRIOR) if PRIOR.exists() else None


def _stored(about: Subject, files: Mapping[str, bytes], card: Mapping[str, Any], out: Path | None) -> str:
    if out is not None:
        with faults():
            out.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                (out / name).write_bytes(data)
            (out / "card.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))
        return ""
    with faults():
        return registry_here().put(KIND, about.name, files, card, by=operator())


def _evidence(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE)
    for heading in ("held back", "value", "95 %", "of"):
        table.add_column(heading, justify="left" if heading == "held back" else "right")
    for row in rows:
        interval = f"{row['low']:.3f} to {row['high']:.3f}" if "low" in row and "high" in row else ""
        table.add_row(escape(row["metric"]), f"{row['value']:.3f}", interval, f"{row['n']:,}")
    return table
