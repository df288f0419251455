"""Prices as they are written: strictly, in US dollars; each wrong one is told what it should be."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from router.config.load import ConfigError, load
from router.config.prices import GpuPrice, ListedPrice, Price, TokenPrice

PRICE: TypeAdapter[Any] = TypeAdapter(Price)
GPU = {"gpu_hour": "2.49", "prompt_tokens_per_second": 20_000, "completion_tokens_per_second": 900.5}


def told(price: Any) -> dict[tuple[Any, ...], str]:
    """What is wrong with `price`, by place."""
    with pytest.raises(ValidationError) as caught:
        PRICE.validate_python(price)
    return {fault["loc"][1:]: fault["msg"] for fault in caught.value.errors()}


@pytest.mark.parametrize(
    ("price", "kind"),
    [
        ({"input": 1, "output": 2}, TokenPrice),
        (GPU, GpuPrice),
        ({"listed_as": "gpt-4o"}, ListedPrice),
        ({"listed_as": "gpt-4o", "provider": "azure"}, ListedPrice),
    ],
)
def test_the_settings_say_which_kind_of_price_it_is(price: dict[str, Any], kind: type) -> None:
    assert type(PRICE.validate_python(price)) is kind


def test_figures_are_taken_as_written() -> None:
    price = PRICE.validate_python({"input": 0.1, "output": "0.000003", "cached_input": 1.1e-1, "cache_write": None})
    assert (price.input, price.output, price.cached_input) == (Decimal("0.1"), Decimal("0.000003"), Decimal("0.11"))
    assert price.cache_write is None
    assert PRICE.validate_python(GPU).completion_tokens_per_second == Decimal("900.5")


@given(st.decimals(0, 999_999, places=6))
def test_every_sensible_figure_is_taken_exactly(figure: Decimal) -> None:
    price = PRICE.validate_python({"input": f"{figure:f}", "output": float(figure)})
    assert price.input == figure
    assert price.output == figure or abs(figure) >= 10**9


WRONG = [
    "$3",
    "EUR 3",
    "3 EUR",
    "3€",
    "-1",
    "+3",
    "1e3",
    "1E-3",
    "0x10",
    "1_000",
    "1,50",
    "٣",
    "",
    " ",
    "free",
    "nan",
    "inf",
]


@pytest.mark.parametrize("figure", WRONG)
def test_text_that_is_no_plain_number_is_refused(figure: str) -> None:
    message = told({"input": figure, "output": 1})[("input",)]
    assert "in US dollars per million tokens" in message
    assert "without currency" in message


@pytest.mark.parametrize(
    "figure", [-1, -0.5, float("nan"), float("inf"), True, False, None, [], {}, 1e6, "1000000", 1e-7, "0.1234567"]
)
def test_numbers_that_are_no_prices_are_refused(figure: object) -> None:
    assert "US dollars per million tokens" in told({"input": figure, "output": 1})[("input",)]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("currency", "EUR", "must be USD"),
        ("currency", "usd", "must be USD"),
        ("per_request", "$0.01", "in US dollars"),
        ("tiers", {"batch": "50%"}, "times the usual price"),
        ("tiers", {"batch": -1}, "times the usual price"),
        ("above", {"200k": {"input": 1}}, 'such as "200000"'),
        ("above", {"0": {"input": 1}}, 'such as "200000"'),
        ("above", {"200000": {"input": "6 EUR"}}, "in US dollars per million tokens"),
        ("above", {"200000": {"tiers": {}}}, "not permitted"),
    ],
)
def test_each_part_says_what_it_should_be(part: str, value: object, message: str) -> None:
    found = told({"input": 1, "output": 1, part: value})
    assert len(found) == 1
    ((place, text),) = found.items()
    assert place[0] == part
    assert message in text


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("gpu_hour", "€2"),
        ("gpus", 0),
        ("prompt_tokens_per_second", 0),
        ("completion_tokens_per_second", "fast"),
        ("currency", "CHF"),
        ("input", 1),
    ],
)
def test_so_does_each_part_of_a_gpu_price(part: str, value: object) -> None:
    assert {place[0] for place in told(GPU | {part: value})} == {part}


def test_a_figure_that_is_wrong_has_its_place_in_the_file(tmp_path: Path) -> None:
    price = {"input": "3 EUR", "output": 1, "currency": "EUR", "above": {"200000": {"output": -1}}}
    path = tmp_path / "weir.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "upstreams": {"u": {"kind": "scripted"}},
                "models": {"m": {"upstream": "u", "price": price, "shutdown_date": 20270114}},
                "tenants": {},
            }
        )
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    problems = {problem.path: problem.message for problem in caught.value.problems}
    assert set(problems) == {
        "models.m.price.above.200000.output",
        "models.m.price.currency",
        "models.m.price.input",
        "models.m.shutdown_date",
    }
    assert problems["models.m.price.input"].startswith("must be a plain number of at least 0")
    assert problems["models.m.shutdown_date"] == "must be a date such as 2027-01-14"
