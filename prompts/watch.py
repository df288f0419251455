"""When a prompt must be optimised again: the models that it was measured with are not those that answer now.

The non-obvious decision: only what was measured grows old. A prompt that nobody optimised claims nothing about any
model, so there is nothing about it that could have stopped being true.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from prompts.evidence import Evidence, ServedBy


def outdated(
    evidence: Evidence,
    served: Sequence[ServedBy],
    shutdowns: Mapping[str, date],
    today: date,
    notice_days: int,
) -> tuple[str, ...]:
    """Why the version that `evidence` is about must be optimised again; empty where it need not be.

    `served` are the models that may answer under it now, without those that only stand in for a failed one;
    `shutdowns` says when models are turned off, by their names in the configuration. Each reason is a clause for
    people, such as "`small` is turned off on 2027-01-31".
    """
    return (
        *_moved(evidence, served),
        *_unmeasured(evidence, served),
        *_ending(evidence, served, shutdowns, today + timedelta(days=notice_days), today),
    )


def again(evidence: Evidence, route: str, config: str = "") -> str:
    """The command that optimises the prompt again, on `route`, as it was done before.

    `config` is the configuration's file; empty: the one that is read by default.
    """
    words = ["weir", "prompts", "optimise", "--route", route, "--suite", evidence.suite]
    words += ["--optimiser", evidence.optimiser]
    if evidence.objective != "quality":
        words += ["--objective", evidence.objective]
    told = {"--tenant": evidence.tenant, "--reflect-with": evidence.reflect_with, "--config": config}
    for option, value in told.items():
        words += [option, value] if value else []
    return shlex.join(words)


def _moved(evidence: Evidence, served: Sequence[ServedBy]) -> Iterator[str]:
    """Models that answered then, and are gone or others by now."""
    now = {each.model: each for each in served}
    for then in evidence.models:
        found = now.get(then.model)
        if found is None:
            yield f"`{then.model}`, which it was measured with, does not answer any more"
        elif found != then:
            yield (
                f"`{then.model}` is {found.name} of {found.upstream} now; it was measured with {then.name} of "
                f"{then.upstream}"
            )


def _unmeasured(evidence: Evidence, served: Sequence[ServedBy]) -> Iterator[str]:
    measured = {each.model for each in evidence.models} | set(evidence.unasked)
    yield from (f"`{each.model}` was never measured with it" for each in served if each.model not in measured)


def _ending(
    evidence: Evidence, served: Sequence[ServedBy], shutdowns: Mapping[str, date], last: date, today: date
) -> Iterator[str]:
    """Models of the evidence that answer still, and are turned off by `last`."""
    measured = {each.model for each in evidence.models}
    for each in served:
        day = shutdowns.get(each.model)
        if each.model in measured and day is not None and day <= last:
            yield f"`{each.model}` {'was' if day <= today else 'is'} turned off on {day}"
