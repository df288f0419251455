"""The return on investment, by hand; and what its report says where little is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.reports.document import Report
from ledger.reports.formats.as_json import to_json
from ledger.reports.roi import report_of, roi_report, verdict_of
from ledger.reports.roi_cases import cases
from ledger.reports.saving import Arm, Interval, RouteSaving, Savings
from ledger.reports.single_events import Bounds, Span
from ledger.reports.what_if import Stated
from ledger.spool import Spool

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
D = Decimal
STATED = Stated(hours=D(10), hourly_rate=D(73), running_cost=D("3.65"), years=D(2))


def measured(low: int = 20, middle: int = 32, high: int = 44, **changes: Any) -> RouteSaving:
    values: dict[str, Any] = {
        "route": "support",
        "usual": Arm(400, D(8), 4),
        "dear": Arm(40, D(4)),
        "optimising": D(7),
        "effective": 40.0,
        "saving": Interval(low=D(low), middle=D(middle), high=D(high)),
        "draws": (float(low),) * 500 + (float(high),) * 500,
    }
    return RouteSaving(**(values | changes))


def savings(*routes: RouteSaving, days: float = 10) -> Savings:
    return Savings(span=Span(), confidence=0.95, routes=routes, bounds=Bounds(NOON, NOON + timedelta(days=days)))


def facts(report: Report) -> dict[str, Any]:
    return {fact.name: fact.value for fact in report.facts}


def table(report: Report, name: str) -> list[Any]:
    (found,) = [table for table in report.tables if table.name == name]
    return list(found.rows)


def test_three_cases_by_hand() -> None:
    """Ten days; $7 of optimising; running them $3.65 x 12 x 10 / 365 = $1.20."""
    route = measured()
    low, middle, high = table(report_of(savings(route), STATED, {}), "cases")
    assert (low["case"], middle["case"], high["case"]) == ("conservative", "measured", "optimistic")
    assert (low["net"], middle["net"], high["net"]) == (D("11.8"), D("23.8"), D("35.8"))
    # 25 x 36.5 - 43.80; over (730 / 2) less one; 730 / (868.70 / 12)
    assert middle["annual_net"] == D("868.70")
    assert middle["annual_roi"] == pytest.approx((868.7 - 365) / 365, abs=1e-6)
    assert middle["payback_months"] == pytest.approx(730 / (868.7 / 12), abs=1e-6)
    assert middle["first_year_net"] == D("138.70")
    assert low["annual_net"] == D("430.70")
    assert high["annual_net"] == D("1306.70")


def test_the_balance_goes_from_all_that_could_be_saved_to_what_was_left() -> None:
    steps = table(report_of(savings(measured()), STATED, {}), "balance")
    amounts = [row["amount"] for row in steps]
    assert amounts == [D("35.2"), D("-3.2"), D(32), D(-7), D("-1.2"), D("23.8")]
    assert amounts[0] + amounts[1] == amounts[2] and sum(amounts[2:5]) == amounts[5]


@given(
    bounds=st.lists(st.integers(-1000, 1000), min_size=3, max_size=3).map(sorted),
    optimising=st.integers(0, 500),
    days=st.floats(0, 4000),
)
def test_cases_are_in_order_and_differ_by_the_saving_alone(bounds: list[int], optimising: int, days: float) -> None:
    found = cases(savings(measured(*bounds, optimising=D(optimising)), days=days), STATED)
    for one, other in pairwise(found):
        assert one.saving <= other.saving
        assert other.net - one.net == other.saving - one.saving
        assert one.worth.annual_net <= other.worth.annual_net
        paybacks = one.worth.payback_months, other.worth.payback_months
        assert paybacks[0] is None or (paybacks[1] is not None and paybacks[1] <= paybacks[0])


def test_without_a_measurement_nothing_is_claimed() -> None:
    few = RouteSaving(route="faq", usual=Arm(400, D(8)), dear=Arm(3, D(1)), effective=3.0)
    report = report_of(savings(few, RouteSaving(route="plain", undrawn=5)), STATED, {"plain": False, "faq": True})
    assert facts(report) == {"saving": None}
    assert [row["verdict"] for row in table(report, "routes")] == ["not enough", "not measured"]
    assert table(report, "cases") == []
    assert any("Route faq: not enough" in note for note in report.notes)
    assert report.next_steps == [
        "Turn on routes.plain.counterfactual: what it saves is not measured.",
        "Wait, or raise routes.faq.counterfactual.share: too few requests went the dear way.",
    ]


def test_costs_of_unmeasured_routes_are_taken_off_too() -> None:
    report = report_of(savings(measured(), RouteSaving(route="direct", optimising=D(5))), Stated(), {})
    assert (facts(report)["optimising"], facts(report)["net"]) == (12, 20)
    assert facts(report)["annual_roi"] is None, "nothing was stated"


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [((1, 2, 3), "saves"), ((-1, 2, 3), "no saving shown"), ((-3, -2, -1), "costs more")],
)
def test_verdicts(bounds: tuple[int, int, int], verdict: str) -> None:
    assert verdict_of(measured(*bounds)) == verdict


def test_notes_where_the_figures_need_them() -> None:
    def said(*words: str, days: float = 10, **changes: Any) -> bool:
        notes = report_of(savings(measured(**changes), days=days), Stated(), {}).notes
        return any(all(word in note for word in words) for note in notes)

    assert said("extrapolated from 10.000 days") and not said("extrapolated", days=30)
    assert said("failed the dear way", dear=Arm(40, D(4), 10)) and not said("failed the dear way")
    assert said("drew no lot", undrawn=7) and not said("drew no lot")
    assert said("groups were drawn", grouped=True) and not said("groups were drawn")


def test_one_hour_is_not_taken_for_a_days_sample() -> None:
    report = report_of(savings(measured(), days=1 / 24), Stated(), {})
    assert facts(report)["days"] == 1
    assert facts(report)["annual_net"] == 25 * 365


async def test_from_events_to_json(
    database: Database, spool: Spool, folder: Path, make_event: Callable[..., UsageEvent]
) -> None:
    for number in range(440):
        dear = number < 40
        cost = D("0.10") if dear else D("0.02")
        spool.append(make_event(arm="dear" if dear else "usual", cost=cost, at=NOON + timedelta(hours=number)))
    spool.append(make_event(purpose="judge", cost=D(2), at=NOON))
    report = await roi_report(database, folder, Span(tenant="acme"), drawing={"support": True}, stated=STATED)
    found = orjson.loads(to_json(report))
    assert (found["name"], found["tenant"], found["saving"], found["net"]) == (
        "roi",
        "acme",
        "32",
        "27.80496",
    )
    assert found["rows"][0]["route"] == "support"
    assert found["rows"][0]["mean_dear"] == "0.1"
    assert found["saving_low"] == "32" == found["saving_high"]
    assert isinstance(found["payback_months"], float) and isinstance(found["annual_roi"], float)
    assert [case["case"] for case in found["cases"]] == ["conservative", "measured", "optimistic"]
