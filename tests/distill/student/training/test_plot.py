"""The plot of a loss is an SVG that a browser reads, on light and on dark."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from distill.student.training.plot import loss_svg


def test_the_line_falls_as_the_loss_does() -> None:
    tree = ElementTree.fromstring(loss_svg([(1, 8.0), (50, 2.0), (100, 0.5)]))
    (line,) = tree.iter("{http://www.w3.org/2000/svg}polyline")
    heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_it_reads_on_dark() -> None:
    assert "prefers-color-scheme:dark" in loss_svg([(1, 8.0)])


def test_many_steps_are_thinned_out() -> None:
    (line,) = ElementTree.fromstring(loss_svg([(step, 9 - step / 2000) for step in range(10_000)])).iter(
        "{http://www.w3.org/2000/svg}polyline"
    )
    assert len(line.attrib["points"].split()) < 500


def test_without_a_loss_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no loss to draw"):
        loss_svg([(1, float("nan"))])
