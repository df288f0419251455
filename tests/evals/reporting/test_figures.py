"""Tables and plots."""

from __future__ import annotations

import re

from evals.reporting.figures import Cell, intervals, table, text_cell
from evals.statistics.interval import Interval


def test_a_plot_has_a_dashed_line_at_its_mark_and_room_for_it() -> None:
    drawn = intervals("Change", "points", {"all": Interval(5.0, 4.0, 6.0)}, mark=-2.0)
    (place,) = re.findall(r'stroke-dasharray="5 4" x1="([\d.]+)"', drawn)
    zero = re.findall(r'class="axis" x1="([\d.]+)"', drawn)[0]
    assert 0 < float(place) < float(zero)
    assert "dasharray" not in intervals("Change", "points", {"all": Interval(5.0, 4.0, 6.0)})


def test_a_plot_of_nothing_is_left_out_and_one_of_many_places_is_folded() -> None:
    assert intervals("Quality", "%", {"all": None}) == ""
    many = {f"segment {place}": Interval(0.5, 0.4, 0.6) for place in range(40)}
    assert intervals("Quality", "%", many).startswith("<details>")


def test_a_table_is_sorted_by_figures_and_not_by_how_they_are_written() -> None:
    html = table("T", ["name", "cost"], [[text_cell("a<b"), Cell("$1,200", 1200.0)]], sortable=True)
    assert '<td data-value="1200.0"><bdi>$1,200</bdi></td>' in html
    assert "a&lt;b" in html
    assert html.count("<button") == 2
