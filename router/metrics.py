"""What Weir counts, under the names that dashboards and alerts use.

Labels come from the configuration only (routes, models, tenants), never from clients, so their number is bounded.
Prometheus's own counters take a lock at each step, for threads that Weir has not: these are plain dictionaries, and
the library writes the page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from contracts.records import Retrieval, UsageEvent
from router.verdicts import OUTDATED

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BOUNDS = (*map(floatToGoString, _SECONDS), "+Inf")

Reading = Callable[[], float | None]
"""None where there is nothing to be read: the metric is on the page then, without a sample."""
Labels = str | tuple[str, ...]
LabelledReading = Callable[[], Mapping[Any, float]]
"""By label, or by the tuple of them where there are several."""


class Counts(Collector):
    """A counter for each combination of labels. Belongs to one thread, so that counting takes no lock."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self._family = partial(CounterMetricFamily, name, help_text, labels=labels)
        self._counts: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, amount: float = 1) -> None:
        counts = self._counts
        counts[labels] = counts.get(labels, 0) + amount

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Times(Collector):
    """A histogram of seconds for each combination of labels. Belongs to one thread."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self._family = partial(HistogramMetricFamily, name, help_text, labels=labels)
        self._seen: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        """How many fell into each bucket, and the sum of all, by labels."""

    def observe(self, seconds: float, *labels: str) -> None:
        seen = self._seen.get(labels)
        if seen is None:
            seen = self._seen[labels] = ([0] * len(_BOUNDS), [0.0])
        buckets, total = seen
        buckets[bisect_left(_SECONDS, seconds)] += 1
        total[0] += seconds

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for labels, (buckets, total) in self._seen.items():
            family.add_metric(labels, list(zip(_BOUNDS, accumulate(buckets), strict=True)), total[0])
        yield family


class Metrics:
    """Counters fed by requests, and gauges read when Prometheus asks. One registry per Weir."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counts(
            "weir_requests", "Requests, by what became of them.", "route", "model", "cache", "status"
        )
        self.own_requests = self._counts(
            "weir_own_requests",
            "Requests that serve nobody: Weir's own, and those of evaluations and training.",
            "route",
            "purpose",
            "status",
        )
        self.request_seconds = self._times(
            "weir_request_seconds", "From a request's arrival to the end of its answer.", "route", "cache"
        )
        self.first_token_seconds = self._times(
            "weir_first_token_seconds", "From a request's arrival to the first token of its stream.", "route"
        )
        self.tokens = self._counts("weir_tokens", "Tokens, by kind.", "route", "model", "kind")
        self.cost = self._counts("weir_cost_usd", "Dollars spent.", "tenant", "route", "model")
        self.saved = self._counts(
            "weir_saved_usd", "Dollars that stored answers cost when made.", "tenant", "route"
        )
        self.attempts = self._counts("weir_attempts", "Calls to models, by result.", "model", "result")
        self.degraded = self._counts("weir_degraded", "Requests answered without a part that failed.", "part")
        self.reloads = self._counts("weir_config_reloads", "Changes of the configuration, by result.", "result")
        self.hung_up = self._counts("weir_hung_up", "Streams whose client left before the end.")
        self.hung_up.add(amount=0)
        self.refused = self._counts("weir_refused", "Requests that got an error in place of an answer.", "code")
        self.budget_refused = self._counts(
            "weir_budget_refused", "Requests and calls to models that a used-up budget refused.", "budget"
        )
        self.budget_unavailable = self._counts(
            "weir_budget_unavailable", "Requests refused because what is left of a budget could not be told."
        )
        self.budget_unavailable.add(amount=0)
        self.alerts = self._counts("weir_alerts", "Alerts, by what became of them.", "result")
        self.feedback = self._counts("weir_feedback", "Answers that somebody scored.", "route")
        self.decisions = self._counts(
            "weir_decisions",
            "Decisions of learned policies, by what was known beforehand and whether a check escalated them.",
            "route",
            "model",
            "outlook",
            "escalated",
        )
        self._searching = _SearchMetrics(self._counts, self._times)
        self.outdated = self._counts(
            "weir_cache_outdated", "Hits that were not served because a document had changed.", "route"
        )
        self.cache_reports = self._counts("weir_cache_reports", "Answers that were reported as bad.", "route")

    def observe(self, event: UsageEvent) -> None:
        """Count one finished request."""
        route, model, cache = event.route, event.model, event.verdict.kind
        if event.purpose == "serve":
            self.requests.add(route, model, cache, str(event.status))
            self.request_seconds.observe(event.latency_ms / 1000, route, cache)
            if event.first_token_ms is not None:
                self.first_token_seconds.observe(event.first_token_ms / 1000, route)
        else:
            self.own_requests.add(route, event.purpose, str(event.status))
        if event.verdict.degraded:
            self.degraded.add(event.verdict.degraded)
        if event.verdict.reason == OUTDATED:
            self.outdated.add(route)
        if event.retrieval is not None:
            self._searching.observe(event, event.retrieval)
            if event.retrieval.degraded not in ("", event.verdict.degraded):
                self.degraded.add(event.retrieval.degraded)
        self._observe_cost(event)
        if event.saved:
            self.saved.add(event.tenant, route, amount=float(event.saved))
        if event.hung_up:
            self.hung_up.add()
        decision = event.decision
        if decision is not None and decision.degraded:
            self.degraded.add(decision.degraded)
        if decision is not None and decision.check is not None and decision.check.degraded:
            self.degraded.add(decision.check.degraded)
        if decision is not None and decision.outlook:
            escalated = decision.check is not None and decision.check.escalated
            self.decisions.add(route, model, decision.outlook, "yes" if escalated else "no")
        for attempt in event.attempts:
            self.attempts.add(attempt.model, attempt.error or "answered")
        usage = event.usage
        if usage.source in ("reported", "estimated"):
            self.tokens.add(route, model, "prompt", amount=usage.prompt)
            self.tokens.add(route, model, "completion", amount=usage.completion)
            if usage.cached:
                self.tokens.add(route, model, "cached", amount=usage.cached)

    def _observe_cost(self, event: UsageEvent) -> None:
        """By the model that was paid: an answer that a check failed is no cost of the one that came after it."""
        rest = event.cost
        for attempt in event.attempts:
            if attempt.cost:
                self.cost.add(event.tenant, event.route, attempt.model, amount=float(attempt.cost))
                rest -= attempt.cost
        if rest > 0:
            self.cost.add(event.tenant, event.route, event.model, amount=float(rest))

    def _counts(self, name: str, help_text: str, *labels: str) -> Counts:
        counts = Counts(name, help_text, labels)
        self.registry.register(counts)
        return counts

    def _times(self, name: str, help_text: str, *labels: str) -> Times:
        times = Times(name, help_text, labels)
        self.registry.register(times)
        return times

    def gauge(self, name: str, help_text: str, read: Reading) -> None:
        """A gauge whose value is asked for at each scrape."""
        self._on_scrape(partial(GaugeMetricFamily, name, help_text, labels=()), lambda: _alone(read()))

    def counter(self, name: str, help_text: str, read: Reading) -> None:
        """A counter that something else keeps. `name` without `_total`."""
        self._on_scrape(partial(CounterMetricFamily, name, help_text, labels=()), lambda: _alone(read()))

    def labelled_gauge(self, name: str, help_text: str, label: Labels, read: LabelledReading) -> None:
        """A gauge with one label or several, read at each scrape."""
        self._on_scrape(partial(GaugeMetricFamily, name, help_text, labels=_tuple(label)), read)

    def labelled_counter(self, name: str, help_text: str, label: Labels, read: LabelledReading) -> None:
        """The same of a counter that something else keeps. `name` without `_total`."""
        self._on_scrape(partial(CounterMetricFamily, name, help_text, labels=_tuple(label)), read)

    def _on_scrape(self, family: Callable[[], Any], read: LabelledReading) -> None:
        self.registry.register(_OnScrape(family, read))

    def page(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class _SearchMetrics:
    """Of requests for which documents were searched. `counts` and `times` make and register a family."""

    def __init__(self, counts: Callable[..., Counts], times: Callable[..., Times]) -> None:
        self._searches = counts(
            "weir_searches", "Requests for which documents were searched, by what came of it.", "route", "outcome"
        )
        self._seconds = times("weir_search_seconds", "How long that took, from question to passages.", "route")
        self._tokens = counts(
            "weir_passage_tokens",
            "Tokens of passages put into prompts, and those that their documents would have taken beyond that.",
            "route",
            "kind",
        )
        self._saved = counts(
            "weir_passage_saved_usd",
            "Dollars that passages cost less as input than their documents whole.",
            "tenant",
            "route",
        )
        self._stray = counts("weir_stray_citations", "Citations in answers that lead to no passage.", "route")

    def observe(self, event: UsageEvent, retrieval: Retrieval) -> None:
        route = event.route
        unavailable = retrieval.degraded == "retrieval"
        self._searches.add(route, "unavailable" if unavailable else "nothing" if retrieval.nothing else "found")
        self._seconds.observe(retrieval.took_ms / 1000, route)
        self._tokens.add(route, "passages", amount=retrieval.tokens)
        self._tokens.add(route, "spared", amount=max(0, retrieval.whole_tokens - retrieval.tokens))
        if retrieval.saved:
            self._saved.add(event.tenant, route, amount=float(retrieval.saved))
        if retrieval.stray:
            self._stray.add(route, amount=retrieval.stray)


def _tuple(label: Labels) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else label


def _alone(value: float | None) -> Mapping[tuple[str, ...], float]:
    return {} if value is None else {(): value}


class _OnScrape(Collector):
    def __init__(self, family: Callable[[], Any], read: LabelledReading) -> None:
        self._family = family
        self._read = read

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for labels, value in self._read().items():
            family.add_metric(_tuple(labels), value)
        yield family
