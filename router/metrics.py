"""What Weir counts, under the names that dashboards and alerts use.

Labels come from the configuration only (routes, models, tenants), never from clients, so their number is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.records import UsageEvent

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

Reading = Callable[[], float]
LabelledReading = Callable[[], dict[str, float]]


class Metrics:
    """Counters fed by requests, and gauges read when Prometheus asks. One registry per Weir."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "weir_requests",
            "Requests, by what became of them.",
            ["route", "model", "cache", "status"],
            registry=own,
        )
        self.request_seconds = Histogram(
            "weir_request_seconds",
            "From a request's arrival to the end of its answer.",
            ["route", "cache"],
            buckets=_SECONDS,
            registry=own,
        )
        self.first_token_seconds = Histogram(
            "weir_first_token_seconds",
            "From a request's arrival to the first token of its stream.",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self.tokens = Counter("weir_tokens", "Tokens, by kind.", ["route", "model", "kind"], registry=own)
        self.cost = Counter("weir_cost_usd", "Dollars spent.", ["tenant", "route", "model"], registry=own)
        self.saved = Counter(
            "weir_saved_usd", "Dollars that stored answers cost when made.", ["tenant", "route"], registry=own
        )
        self.attempts = Counter("weir_attempts", "Calls to models, by result.", ["model", "result"], registry=own)
        self.degraded = Counter(
            "weir_degraded", "Requests answered without a part that failed.", ["part"], registry=own
        )
        self.reloads = Counter(
            "weir_config_reloads", "Changes of the configuration, by result.", ["result"], registry=own
        )
        self.hung_up = Counter("weir_hung_up", "Streams whose client left before the end.", registry=own)
        self.refused = Counter(
            "weir_refused", "Requests that got an error in place of an answer.", ["code"], registry=own
        )

    def observe(self, event: UsageEvent) -> None:
        """Count one finished request."""
        route, model, cache = event.route, event.model, event.verdict.kind
        self.requests.labels(route, model, cache, str(event.status)).inc()
        self.request_seconds.labels(route, cache).observe(event.latency_ms / 1000)
        if event.first_token_ms is not None:
            self.first_token_seconds.labels(route).observe(event.first_token_ms / 1000)
        if event.cost:
            self.cost.labels(event.tenant, route, model).inc(float(event.cost))
        if event.saved:
            self.saved.labels(event.tenant, route).inc(float(event.saved))
        if event.hung_up:
            self.hung_up.inc()
        if event.decision is not None and event.decision.degraded:
            self.degraded.labels(event.decision.degraded).inc()
        for attempt in event.attempts:
            self.attempts.labels(attempt.model, attempt.error or "answered").inc()
        usage = event.usage
        if usage.source in ("reported", "estimated"):
            tokens = self.tokens
            tokens.labels(route, model, "prompt").inc(usage.prompt)
            tokens.labels(route, model, "completion").inc(usage.completion)
            if usage.cached:
                tokens.labels(route, model, "cached").inc(usage.cached)

    def gauge(self, name: str, help_text: str, read: Reading) -> None:
        """A gauge whose value is asked for at each scrape."""
        self.registry.register(_OnScrape(lambda: [_gauge(name, help_text, read())]))

    def counter(self, name: str, help_text: str, read: Reading) -> None:
        """A counter that something else keeps. `name` without `_total`."""
        self.registry.register(_OnScrape(lambda: [_counter(name, help_text, read())]))

    def labelled_gauge(self, name: str, help_text: str, label: str, read: LabelledReading) -> None:
        """A gauge with one label, read at each scrape as a dict from label to value."""

        def collect() -> list[Metric]:
            family = GaugeMetricFamily(name, help_text, labels=[label])
            for value, reading in read().items():
                family.add_metric([value], reading)
            return [family]

        self.registry.register(_OnScrape(collect))

    def page(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, help_text)
    family.add_metric([], value)
    return family


def _counter(name: str, help_text: str, value: float) -> Metric:
    family = CounterMetricFamily(name, help_text)
    family.add_metric([], value)
    return family


class _OnScrape(Collector):
    def __init__(self, collect: Callable[[], list[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        yield from self._collect()
