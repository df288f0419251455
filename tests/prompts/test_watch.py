"""A prompt is outdated where other models answer than it was measured with, and only then."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from prompts.evidence import Evidence, ServedBy
from prompts.watch import again, outdated
from tests.prompts.plain_evidence import plain_evidence

TODAY = date(2026, 11, 26)
SMALL = ServedBy(model="small", upstream="hosted", name="gpt-4.1-nano")
LARGE = ServedBy(model="large", upstream="hosted", name="gpt-5.1")


def evidence(**changes: Any) -> Evidence:
    return plain_evidence("1" * 16, **{"suite": "examples/my suite", "models": (SMALL,), **changes})


@pytest.mark.parametrize(
    ("measured", "served", "shutdowns", "reasons"),
    [
        ({}, [SMALL], {}, ()),
        ({}, [], {}, ("`small`, which it was measured with, does not answer any more",)),
        (
            {},
            [ServedBy(model="small", upstream="hosted", name="gpt-5-nano")],
            {},
            ("`small` is gpt-5-nano of hosted now; it was measured with gpt-4.1-nano of hosted",),
        ),
        (
            {},
            [ServedBy(model="small", upstream="local", name="gpt-4.1-nano")],
            {},
            ("`small` is gpt-4.1-nano of local now; it was measured with gpt-4.1-nano of hosted",),
        ),
        ({}, [SMALL, LARGE], {}, ("`large` was never measured with it",)),
        ({"unasked": ("large",)}, [SMALL, LARGE], {}, ()),
        ({}, [SMALL], {"small": date(2026, 12, 26)}, ("`small` is turned off on 2026-12-26",)),
        ({}, [SMALL], {"small": date(2026, 12, 27)}, ()),
        ({}, [SMALL], {"small": TODAY}, ("`small` was turned off on 2026-11-26",)),
        ({"unasked": ("large",)}, [SMALL, LARGE], {"large": TODAY}, ()),
        ({}, [], {"small": TODAY}, ("`small`, which it was measured with, does not answer any more",)),
        (
            {"models": (SMALL, LARGE)},
            [ServedBy(model="new", upstream="hosted", name="new"), LARGE],
            {"large": TODAY},
            (
                "`small`, which it was measured with, does not answer any more",
                "`new` was never measured with it",
                "`large` was turned off on 2026-11-26",
            ),
        ),
    ],
)
def test_it_says_why(
    measured: dict[str, Any], served: list[ServedBy], shutdowns: dict[str, date], reasons: tuple[str, ...]
) -> None:
    assert outdated(evidence(**measured), served, shutdowns, TODAY, notice_days=30) == reasons


def test_the_command_can_be_pasted() -> None:
    assert again(evidence(), "support") == (
        "weir prompts optimise --route support --suite 'examples/my suite' --optimiser gepa"
    )
    as_it_was = evidence(tenant="acme & co", reflect_with="large")
    assert again(as_it_was, "support", "other.yaml").endswith(
        "--optimiser gepa --tenant 'acme & co' --reflect-with large --config other.yaml"
    )
    cheaper = evidence(objective="cost", optimiser="shorten")
    assert again(cheaper, "help").endswith(
        "--route help --suite 'examples/my suite' --optimiser shorten --objective cost"
    )
