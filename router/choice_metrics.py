"""What the learned policies and their learning show on the metrics page."""

from __future__ import annotations

from collections.abc import Callable

from router.choice.parts import ChoiceParts
from router.learning.lessons import Lessons
from router.metrics import Metrics


def wire_choice(metrics: Metrics, parts: ChoiceParts, lessons: Callable[[], Lessons | None]) -> None:
    """Gauges and counters that are read at each scrape."""

    def heads() -> dict[str, float]:
        return {route: float(len(shelf)) for route, shelf in parts.shelves.items()}

    def faults() -> dict[str, float]:
        return {route: float(len(shelf.faults)) for route, shelf in parts.shelves.items()}

    metrics.labelled_gauge(
        "weir_router_heads", "Sets of heads that a route chooses by; 0: its default model answers.", "route", heads
    )
    metrics.labelled_gauge("weir_router_unreadable", "Sets of heads that could not be read.", "route", faults)

    def of(read: Callable[[Lessons], float]) -> Callable[[], float]:
        def value() -> float:
            found = lessons()
            return read(found) if found is not None else 0.0

        return value

    for name, help_text, read in (
        ("weir_shadow_calls", "Models asked in the background, to learn.", of(lambda each: each.shadowed)),
        ("weir_shadow_skipped", "Requests to learn from, without room for.", of(lambda each: each.skipped)),
        ("weir_lessons_written", "Lines written to learn from.", of(lambda each: each.notebook.written)),
        ("weir_lessons_dropped", "Lines that could not be written.", of(lambda each: each.notebook.dropped)),
    ):
        metrics.counter(name, help_text, read)
