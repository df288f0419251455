"""What `weir eval run` was told, as an order: cases, fields of requests, the encoder, another run's answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from encoder.card import BUILT, EncoderFault, read_card
from evals.calibration import read_calibrations
from evals.cases import Case
from evals.run_folder import RunUnusable, read_run
from evals.runner.evaluation import Order
from evals.runner.standing import RunRefused
from evals.suite import Suite, SuiteError, read_suite
from evals.targets.port import TargetFailure

if TYPE_CHECKING:
    from evals.scorers.port import Vectors


def order_of(
    suite: Path, order: Mapping[str, Any], *, segments: Sequence[str], limit: int | None, fields: Sequence[str]
) -> Order:
    """`order` holds what Order takes as it was given. Raises SuiteError, and click's errors."""
    found = read_suite(suite)
    cases, notes = _chosen(found, segments, limit)
    return Order(
        suite=found,
        cases=cases,
        encode=encode,
        encoder=encoder_version(found),
        request={**found.request, **_fields(fields)},
        calibrations=read_calibrations(suite),
        notes=notes,
        **{**order, "repeats": order["repeats"] or found.repeats},
    )


def answers_of(folder: Path) -> Mapping[str, str]:
    """A run's answers by case, of several the first; none that calls tools: it is no text. Raises RunUnusable."""
    answered = [(row.case, row.answer) for row in read_run(folder).rows if row.answer is not None]
    return {case: answer.text for case, answer in reversed(answered) if not answer.tool_calls}


@contextmanager
def faults() -> Iterator[None]:
    """What can be wrong with a suite, a target, a folder or a scorer, as click's errors."""
    try:
        yield
    except (TargetFailure, RunRefused, RunUnusable, SuiteError, ImportError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        said = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error)
        raise click.ClickException(
            f"{said}. Mend that, and the same command goes on: what was written is kept."
        ) from error
    except ValueError as error:  # a scorer that cannot be used so, such as a judge of its own family
        raise click.ClickException(str(error)) from error


def _chosen(suite: Suite, segments: Sequence[str], limit: int | None) -> tuple[Sequence[Case], tuple[str, ...]]:
    """The cases that are asked, and what a reader must know of the choice."""
    known = {case.segment for case in suite.cases}
    for segment in segments:
        if segment not in known:
            raise click.BadParameter(
                f"there is no segment {segment!r}; there are {', '.join(sorted(known))}.", param_hint="--only"
            )
    cases = [case for case in suite.cases if not segments or case.segment in segments]
    if limit is not None and limit < len(cases):
        spread = sorted(cases, key=lambda case: hashlib.blake2b(case.id.encode(), digest_size=8).digest())
        drawn = {case.id for case in spread[:limit]}
        cases = [case for case in cases if case.id in drawn]
    if len(cases) == len(suite.cases):
        return cases, ()
    only = f" of {', '.join(segments)}" if segments else ""
    return cases, (f"{len(cases):,} of the suite's {len(suite.cases):,} cases were asked{only}.",)


def _fields(texts: Sequence[str]) -> Mapping[str, Any]:
    """`temperature=0` and the like; values are YAML."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise click.BadParameter(f"'{text}': {error}", param_hint="--set") from error
        if not equals or not name.strip():
            raise click.BadParameter(f"'{text}' is not FIELD=VALUE.", param_hint="--set")
        if name.strip() in ("model", "messages", "stream"):
            raise click.BadParameter(f"{name.strip()} is the run's own.", param_hint="--set")
    return found


def encoder_version(suite: Suite) -> str:
    """Of the encoder, where a scorer uses it; empty where there is none, which the scorer will tell."""
    if "similarity" not in {str(settings.kind) for settings in suite.scorers}:
        return ""
    try:
        return read_card(BUILT).version
    except EncoderFault:
        return ""


def encode(texts: Sequence[str]) -> Vectors:
    return _encoder()(texts)


@cache
def _encoder() -> Callable[[Sequence[str]], Vectors]:
    """Raises OSError with advice."""
    from weir.encoding import encode_with, session_of

    try:
        return encode_with(session_of(BUILT))
    except click.ClickException as error:
        raise OSError(error.message) from error
