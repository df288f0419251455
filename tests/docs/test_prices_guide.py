"""The guide to prices states settings, figures and verbs as they are."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from ledger.prices import GpuRate
from ledger.prices.throughput import MOST_EVENTS, USUAL_RATIO
from router.config.prices import GpuPrice, TokenPrice
from router.config.schema import Config
from router.config.shutdowns import NOTICE_DAYS
from weir.prices import prices

GUIDE = (Path(__file__).parents[2] / "docs/guides/prices.md").read_text(encoding="utf-8")
UPSTREAMS = {name: {"kind": "openai", "base_url": "http://h/v1"} for name in ("anthropic", "gpu")}


def models() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL):
        found |= yaml.safe_load(block)["models"]
    config = Config.model_validate({"upstreams": UPSTREAMS, "models": found, "tenants": {}})
    return dict(config.models)


def test_its_examples_are_configurations() -> None:
    found = models()
    assert isinstance(found["sonnet"].price, TokenPrice)
    assert isinstance(found["small"].price, GpuPrice)


def test_the_tokens_of_its_gpu_cost_what_it_says() -> None:
    price = models()["small"].price
    rate = GpuRate(
        gpu_hour=price.gpu_hour,
        gpus=price.gpus,
        prompt_tokens_per_second=price.prompt_tokens_per_second,
        completion_tokens_per_second=price.completion_tokens_per_second,
    )
    told = re.search(r"here ([\d.]+) dollars for a million prompt\ntokens and ([\d.]+) for", GUIDE)
    assert told is not None
    assert (rate.tariff().input, rate.tariff().output) == (Decimal(told[1]), Decimal(told[2]))


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"newest {MOST_EVENTS:,} events" in " ".join(GUIDE.split())
    assert f"prompt tokens ({USUAL_RATIO:g}, an assumption" in " ".join(GUIDE.split())
    assert f"warns from {NOTICE_DAYS} days before" in GUIDE


def test_its_verbs_exist() -> None:
    named = set(re.findall(r"weir prices (\w+)", GUIDE))
    assert named == set(prices.commands)
