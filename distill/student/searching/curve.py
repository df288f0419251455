"""How many more examples would gain how much, and what one may cost: the learning curve of a student.

It is trained on growing shares of the train part, and judged on the tuning part alone. The non-obvious decision:
the shares are nested and by intent. Each is the beginning of one order that is drawn by hash, so that points differ
in how many examples there were and not in which.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Struct
from pydantic import Field

from distill.student.examples import TRAIN, TUNE, Example, read_examples
from distill.student.running import Tell
from distill.student.searching.power_law import Law, Point, law_of
from evals.curve_plot import svg
from evals.statistics.interval import Interval
from router.config.values import Section
from system.files import replace_file

POINTS, CONTENT, PLOT = "points.jsonl", "curve.json", "curve.svg"
_MORE = (0.5, 1.0, 3.0)
"""How many more examples are looked at, in times of those there are; beyond four times nothing holds the curve."""
_PLOTTED = 40
_DRAWS = 400

Measure = Callable[[Sequence[Example], int, Path, Tell], Sequence[float]]
"""Trains on the examples with a seed, in a folder of its own, and judges each tuning question, in their order."""


class CurveSettings(Section):
    """How much of the examples is learned from to see what more of them would bring."""

    shares: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=3)] = Field(
        (0.25, 0.5, 1.0), description="Of the train part; three or more, for a curve through fewer says nothing."
    )
    seeds: int = Field(2, ge=1, le=20, description="Students that are trained on each share.")
    horizon_days: int = Field(90, ge=1, description="Days of traffic that more examples have to pay for.")


class Traffic(Struct, frozen=True, kw_only=True):
    """Of the intents that the student learns: `requests` a day, and `saving` in dollars where it answers one."""

    requests: float
    saving: Decimal


class More(Struct, frozen=True, kw_only=True):
    """What so many more examples would gain: of quality, and in dollars each over the horizon, if that is known."""

    examples: int
    gain: Interval
    worth_usd: Interval | None


class LearningCurve(Struct, frozen=True, kw_only=True):
    """`points` are (examples, seed, quality); `now` is the fit where all examples are used."""

    examples: int
    questions: int
    points: tuple[tuple[int, int, float], ...]
    now: Interval
    more: tuple[More, ...]
    horizon_days: int


def learning_curve(
    curated: Path, settings: CurveSettings, *, measure: Measure, traffic: Traffic | None, folder: Path, tell: Tell
) -> LearningCurve:
    """Writes `curve.json` and `curve.svg` into `folder`, too. A student that was judged there is not trained again.

    Raises ValueError where there are too few examples, and what `measure` raises.
    """
    examples, tune = read_examples(curated / TRAIN), read_examples(curated / TUNE)
    if not tune:
        raise ValueError(f"{curated / TUNE} has no questions to judge a student by")
    points = _points(examples, settings, measure, folder, tell)
    law = law_of(points, [one.group for one in tune], draws=_DRAWS)
    curve = LearningCurve(
        examples=len(examples),
        questions=len(tune),
        points=tuple((point.examples, point.seed, round(point.quality, 6)) for point in points),
        now=law.quality(len(examples)),
        more=tuple(_more(law, len(examples), times, settings, traffic) for times in _MORE),
        horizon_days=settings.horizon_days,
    )
    replace_file(folder / CONTENT, msgspec.json.format(msgspec.json.encode(curve), indent=1))
    replace_file(folder / PLOT, _plot(curve, law).encode())
    return curve


def share_of(examples: Sequence[Example], share: float) -> list[Example]:
    """The share of each intent's examples, one at least; a larger share has all of a smaller one's."""
    by_intent: dict[str, list[Example]] = defaultdict(list)
    for example in sorted(examples, key=_drawn):
        by_intent[example.intent].append(example)
    kept = {one.id for group in by_intent.values() for one in group[: max(1, round(share * len(group)))]}
    return [example for example in examples if example.id in kept]


def _drawn(example: Example) -> bytes:
    return hashlib.blake2b(example.id.encode(), digest_size=8).digest()


def _points(
    examples: Sequence[Example], settings: CurveSettings, measure: Measure, folder: Path, tell: Tell
) -> list[Point]:
    """Those that were judged before are read."""
    file = folder / POINTS
    folder.mkdir(parents=True, exist_ok=True)
    known = {(one.examples, one.seed): one for one in _read(file)}
    wanted = [(share_of(examples, share), seed) for share in settings.shares for seed in range(settings.seeds)]
    for place, (some, seed) in enumerate(wanted):
        if (len(some), seed) in known:
            continue

        def told(what: str, done: int, of: int, begun: str = f"student {place + 1} of {len(wanted)}") -> None:
            tell(f"{begun}: {what}", done, of)

        good = tuple(measure(some, seed, folder / f"{len(some)}-{seed}", told))
        known[len(some), seed] = Point(examples=len(some), seed=seed, good=good)
        replace_file(file, b"".join(msgspec.json.encode(point) + b"\n" for point in known.values()))
    return [known[len(some), seed] for some, seed in wanted]


def _read(file: Path) -> Iterator[Point]:
    if file.exists():
        for line in file.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=Point)


def _more(law: Law, examples: int, times: float, settings: CurveSettings, traffic: Traffic | None) -> More:
    """One more right answer is taken to be one request less that the teacher is paid for."""
    more = max(1, round(times * examples))
    gain = law.gain(examples, more)
    if traffic is None:
        return More(examples=more, gain=gain, worth_usd=None)
    each = float(traffic.saving) * traffic.requests * settings.horizon_days / more
    return More(examples=more, gain=gain, worth_usd=Interval(gain.value * each, gain.low * each, gain.high * each))


def lines_of(curve: LearningCurve) -> Iterator[str]:
    """What it says, in sentences."""
    now = curve.now
    yield (
        f"With {curve.examples:,} examples a student answers {now.value:.1%} of {curve.questions:,} tuning "
        f"questions well (95 %: {now.low:.1%} to {now.high:.1%})."
    )
    for more in curve.more:
        gain = f"{100 * more.gain.value:+.1f} points ({100 * more.gain.low:+.1f} to {100 * more.gain.high:+.1f})"
        yield f"{more.examples:,} more would gain {gain}{_worth(more, curve.horizon_days)}."


def _worth(more: More, days: int) -> str:
    if more.worth_usd is None:
        return "; what a right answer saves is not known"
    worth = more.worth_usd
    return (
        f"; one pays within {days} days if it costs less than ${worth.value:.4f} "
        f"(${worth.low:.4f} to ${worth.high:.4f})"
    )


def _plot(curve: LearningCurve, law: Law) -> str:
    most = curve.examples + curve.more[-1].examples
    least = min(examples for examples, _, _ in curve.points)
    along = [least + (most - least) * step / _PLOTTED for step in range(_PLOTTED + 1)]
    fits = [(at, law.quality(at)) for at in along]
    curves = {
        "fit": [(at, fit.value) for at, fit in fits],
        "95 %, lower end": [(at, fit.low) for at, fit in fits],
        "95 %, upper end": [(at, fit.high) for at, fit in fits],
    }
    dots = {f"{examples:,}, seed {seed}": (float(examples), value) for examples, seed, value in curve.points}
    return svg(curves, dots, across="examples", up="answered well, of the tuning questions")
