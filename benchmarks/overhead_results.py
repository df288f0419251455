"""What overhead.py found, as figures: medians over rounds, ratios, targets, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.load import Load
from benchmarks.targets import Target, at_least, below, rounded

HIT = "weir exact hit"

_QUANTILES = ("p50_ms", "p99_ms", "p999_ms")


def cell(loads: list[Load], direct: list[Load]) -> dict[str, Any]:
    """Medians over the rounds; None for latencies where nothing was answered."""
    rounds = [(own, other) for own, other in zip(loads, direct, strict=True) if own.requests]
    told: dict[str, Any] = {
        "rps": round(median(load.rps for load in loads), 1),
        "errors": sum(load.errors for load in loads),
    }
    for name in _QUANTILES:
        told[name] = _median([getattr(own, name) for own, _ in rounds])
        told[f"added_{name}"] = _median([getattr(own, name) - getattr(other, name) for own, other in rounds])
    return told


def _median(values: list[float]) -> float | None:
    return round(median(values), 3) if values else None


def _peak(result: dict[str, Any]) -> float:
    """Requests per second at 32 connections, or at the most that were tried."""
    cells = result["closed"]
    return float(cells["32" if "32" in cells else max(cells, key=int)]["rps"])


def ratio(result: dict[str, Any], other: dict[str, Any]) -> float | None:
    return round(_peak(result) / _peak(other), 6) if _peak(other) else None


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Those that this benchmark can judge."""
    rows = {result["system"]: result for result in results}
    if not {"weir", HIT} <= rows.keys():
        return []
    weir, hit, ratios = rows["weir"], rows[HIT], rows["weir"]["ratios"]
    one, many = (weir["closed"].get(connections, {}) for connections in ("1", "32"))
    litellm = rows["litellm"]["closed"].get("1", {}) if "litellm" in rows else {}
    return [
        at_least("Pass-through, requests/s over LiteLLM's", ratios.get("litellm"), 30),
        at_least("Pass-through, requests/s over Portkey's", ratios.get("portkey"), 3),
        at_least("Pass-through, requests/s over the bare forwarder's", ratios.get("bare"), 0.4),
        at_least("The same, aimed at", ratios.get("bare"), 0.6),
        at_least("Pass-through, requests/s over TensorZero's", ratios.get("tensorzero"), 0.35),
        at_least("Exact hit, requests/s over pass-through's", hit["ratios"]["weir"], 1.5),
        below("Exact hits, upstream calls", hit["counted"]["upstream_calls"], 1, ""),
        below("Added P99 at 1 connection over LiteLLM's", _over(one, litellm, "added_p99_ms"), 0.2, "x"),
        below("P99 over P50 at 32 connections", _over(many, many, "p99_ms", "p50_ms"), 4, "x"),
        below("Start to ready", weir["ready_s"], 2, "s"),
        below("RSS after start", weir["start"]["rss_mb"], 150, "MB"),
    ]


def _over(own: dict[str, Any], other: dict[str, Any], name: str, by: str | None = None) -> float | None:
    figure, measure = own.get(name), other.get(by or name)
    return figure / measure if figure is not None and measure is not None and measure > 0 else None


# --- Markdown ------------------------------------------------------------------------------------------


def markdown(results: list[dict[str, Any]]) -> str:
    """Tables: throughput with its ratios, added latency in closed and open loop, start and memory."""
    connections = list(results[0]["closed"])
    rates = list(results[0]["open"])
    peers = [name for name in ("litellm", "portkey", "tensorzero", "bare", "nginx") if name in results[0]["ratios"]]
    parts = [
        "Requests per second of one worker, by connections; ratios and CPU at the column 32 (or the last).",
        _table(
            ["system", *connections, *(f"over {name}" for name in peers), "CPU s per 1,000", "errors"],
            [
                [
                    result["system"],
                    *(f"{result['closed'][c]['rps']:,.0f}" for c in connections),
                    *(rounded(result["ratios"][name]) for name in peers),
                    _cpu(result),
                    str(sum(cell["errors"] for loop in ("closed", "open") for cell in result[loop].values())),
                ]
                for result in results
            ],
        ),
        "Added latency over direct in ms: P50 / P99 / P99.9 by connections, closed loop (direct: its own).",
        _latencies(results, "closed", connections),
    ]
    if rates:
        parts += [
            "The same by requests per second, open loop; `-` where the rate is over 0.8 of the closed loop's.",
            _latencies(results, "open", rates),
        ]
    return "\n\n".join([*parts, "Start and memory.", _starts(results), *_counts(results)])


def _cpu(result: dict[str, Any]) -> str:
    cells = result["closed"]
    spent = cells["32" if "32" in cells else max(cells, key=int)].get("cpu_s_per_1000")
    return "-" if spent is None else f"{spent:.3f}"


def _latencies(results: list[dict[str, Any]], loop: str, columns: list[str]) -> str:
    rows = []
    for result in results:
        prefix = "" if result["system"] == "direct" else "added_"
        cells = (result[loop].get(column) for column in columns)
        rows.append([result["system"], *(_told(cell, prefix) for cell in cells)])
    return _table(["system", *columns], rows)


def _told(cell: dict[str, Any] | None, prefix: str) -> str:
    if cell is None or cell["p50_ms"] is None:
        return "-"
    return " / ".join(f"{cell[prefix + name]:.2f}" for name in _QUANTILES)


def _starts(results: list[dict[str, Any]]) -> str:
    rows = [
        [
            result["system"],
            f"{result['ready_s']:.2f}",
            *(f"{result[when][kind]:,.0f}" for kind in ("rss_mb", "pss_mb") for when in ("start", "end")),
        ]
        for result in results
        if result["start"]
    ]
    heads = [
        "system",
        "ready after s",
        "RSS MB of the largest process",
        "after load",
        "PSS MB of all",
        "after load",
    ]
    return _table(heads, rows)


def _counts(results: list[dict[str, Any]]) -> list[str]:
    """Whether hits were hits, and misses misses."""
    told = [
        f"{result['system']}: {counted['requests']:,.0f} requests, {counted['exact_hits']:,.0f} exact hits, "
        f"{counted['upstream_calls']:,.0f} upstream calls"
        for result in results
        if (counted := result["counted"])
    ]
    return [f"By Weir's own count, {'; '.join(told)}."] if told else []


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
