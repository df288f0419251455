"""The table of variants."""

from __future__ import annotations

import pytest

from distill.student.table import Row, table


def test_what_is_known_is_shown_and_what_nobody_knows_is_left_out() -> None:
    rows = [
        Row(variant="q8_0", engine="gguf", bytes=1_234_567, tokens_s=1234.5, quality=0.9, low=0.85, high=0.9444),
        Row(variant="2:4", remark="not made: a|b"),
    ]
    assert table(rows).splitlines() == [
        "| variant | engine | MB | tokens/s | quality |  |",
        "| --- | --- | ---: | ---: | ---: | --- |",
        "| `q8_0` | gguf | 1.23 | 1,234 | 0.900 (0.850 to 0.944) | - |",
        "| `2:4` | - | - | - | - | not made: a/b |",
    ]


@pytest.mark.parametrize(
    ("ms", "shown"), [(0.0, "0.00"), (9.994, "9.99"), (9.995, "10.0"), (99.96, "100"), (1e4, "10,000")]
)
def test_figures_have_three_digits(ms: float, shown: str) -> None:
    assert table([Row(variant="a", p95_ms=ms)]).splitlines()[-1] == f"| `a` | {shown} |"
