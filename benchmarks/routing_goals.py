"""The figures that routers are held to, from what `benchmarks/routing_study.py` scored: see
benchmarks/routing.py."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing_data import STRONG, WEAK, Pair
from benchmarks.routing_study import Scored
from benchmarks.targets import Target, at_least
from encoder.session import Session
from evals.curves import (
    aiq,
    apgr,
    bootstrap,
    calibration_error,
    cpt,
    quality_curve,
    share_error,
    share_for_quality,
)
from heads.quality import QualityHead
from router.share import ShareController

Row = NDArray[np.float64]

WANTED_SHARES = (0.2, 0.4, 0.6, 0.8)
_SHARE_OFF = 0.03
_TEXTS, _CHARACTERS = 300, 450
_AIQ_POINTS = 21


def of_pair(scored: Scored) -> dict[str, Any]:
    """Figures of one pair by itself, with 95 % intervals."""
    weak, strong = scored.pair.rows()
    found = bootstrap(apgr, scored.gains, weak, strong)
    return {
        "pair": scored.pair.name,
        "queries": len(weak),
        "weak": round(float(weak.mean()), 4),
        "strong": round(float(strong.mean()), 4),
        "apgr": _four(found.value),
        "apgr_95": [_four(found.low), _four(found.high)],
        "cpt80": _four(cpt(scored.gains, weak, strong, 0.8)),
        "cpt50": _four(cpt(scored.gains, weak, strong, 0.5)),
        "ece_weak": _four(calibration_error(scored.weak, weak)),
        "aiq": _aiq(scored),
    }


def of_shares(scored: Scored) -> list[dict[str, Any]]:
    """The realised share for each wanted one, of a controller that starts from what training saw."""
    found = []
    for wanted in WANTED_SHARES:
        decisions: list[bool] = []
        kept: list[tuple[int, bool]] = []
        for expected, places in scored.streams:
            controller = ShareController(wanted, expected.tolist())
            for place in sorted(places.tolist(), key=lambda place: scored.pair.queries[place].order):
                decisions.append(controller.decide(float(scored.gains[place])))
                kept.append((place, decisions[-1]))
        off = share_error(decisions, wanted)
        weak, strong = scored.pair.rows()
        chosen = np.array([strong[place] if up else weak[place] for place, up in kept])
        recovered = (chosen.mean() - weak.mean()) / (strong.mean() - weak.mean())
        found.append(
            {
                "pair": scored.pair.name,
                "wanted": wanted,
                "off": _four(off),
                "within": abs(off) <= _SHARE_OFF,
                "pgr": _four(float(recovered)),
            }
        )
    return found


def of_mix(scored: Sequence[Scored]) -> dict[str, Any]:
    """Figures of all pairs as one traffic; `curve` for the plot has the strong share and the quality."""
    gains = np.concatenate([each.gains for each in scored])
    weak = np.concatenate([each.pair.rows()[0] for each in scored])
    strong = np.concatenate([each.pair.rows()[1] for each in scored])
    found = bootstrap(apgr, gains, weak, strong)
    eighty = bootstrap(lambda scores, low, high: cpt(scores, low, high, 0.8), gains, weak, strong)
    quality = bootstrap(share_for_quality, gains, weak, strong)
    return {
        "queries": len(gains),
        "apgr": _four(found.value),
        "apgr_95": [_four(found.low), _four(found.high)],
        "cpt80": _four(eighty.value),
        "cpt80_95": [_four(eighty.low), _four(eighty.high)],
        "cpt50": _four(cpt(gains, weak, strong, 0.5)),
        "cq95_share": _four(quality.value),
        "cq95_95": [_four(quality.low), _four(quality.high)],
        "ece_weak": _four(calibration_error(np.concatenate([each.weak for each in scored]), weak)),
        "curve": curves(gains, weak, strong),
    }


def curves(gains: Row, weak: Row, strong: Row) -> dict[str, list[tuple[float, float]]]:
    """Strong share and quality: of the router, at random, and of an oracle that knows every gain."""
    found = {}
    for name, scores in (("router", gains), ("random", np.zeros(len(gains))), ("oracle", strong - weak)):
        shares, quality = quality_curve(scores, weak, strong)
        found[name] = list(zip(shares.tolist(), quality.tolist(), strict=True))
    return found


def decision_times(head: QualityHead, session: Session, pairs: Sequence[Pair]) -> tuple[float, float]:
    """P50 and P99 in milliseconds to encode a text of 450 characters and forecast, of 300 texts on one core."""
    texts = [query.text[:_CHARACTERS] for pair in pairs for query in pair.queries if len(query.text) >= _CHARACTERS]
    texts = sorted(set(texts))[:: max(1, len(set(texts)) // _TEXTS)][:_TEXTS]
    taken = []
    for text in texts[:10] + texts:  # the first ten warm it up
        began = time.perf_counter()
        head.forecast(text, session.encode([text])[0]).gain(STRONG, WEAK)
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.quantile(taken[10:], 0.5)), float(np.quantile(taken[10:], 0.99))


def targets(goals: Mapping[str, Any]) -> list[Target]:
    """What was set beforehand, for a holdout."""
    return [
        at_least("APGR, mean of ten pairs", goals["apgr_mean_ten_pairs"], 0.65, ""),
        at_least("APGR of the mix", goals["apgr_mix"], 0.64, ""),
        _at_most("CPT(80 %) of the mix", goals["cpt80_mix"], 0.64, ""),
        at_least("APGR, pair left out, mean", goals["unknown_mean"], 0.555, ""),
        at_least("APGR, pair left out, worst", goals["unknown_worst"], 0.48, ""),
        at_least("shares within .03, of 40", goals["share_within_03"], 38, ""),
        _at_most("strong share for 95 % of the quality", goals["cq95_share"], 0.60, ""),
        _at_most("decision, P50", goals["decision_p50_ms"], 15, "ms"),
        _at_most("decision, P99", goals["decision_p99_ms"], 40, "ms"),
    ]


def _at_most(what: str, figure: float | None, target: float, unit: str) -> Target:
    met = None if figure is None else bool(figure <= target)
    shown = "not measured" if figure is None else f"{figure:.3g} {unit}".strip()
    return Target(what, f"at most {target:g} {unit}".strip(), shown, met)


def _aiq(scored: Scored) -> float | None:
    """Where every query's cost is known for both models: over thresholds on the expected gain."""
    queries, pair = scored.pair.queries, scored.pair
    if not all(pair.weak in query.costs and pair.strong in query.costs for query in queries):
        return None
    weak, strong = pair.rows()
    cheap = np.array([query.costs[pair.weak] for query in queries])
    dear = np.array([query.costs[pair.strong] for query in queries])
    order = np.argsort(-scored.gains, kind="stable")
    costs, qualities = [], []
    for share in np.linspace(0, 1, _AIQ_POINTS):
        up = np.zeros(len(queries), bool)
        up[order[: round(share * len(queries))]] = True
        costs.append(float(np.where(up, dear, cheap).mean()))
        qualities.append(float(np.where(up, strong, weak).mean()))
    return _four(aiq(costs, qualities))


def _four(figure: float) -> float:
    return round(float(figure), 4)
