"""What reports are told of the configuration."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from contracts.reporting import Provider, Shutdown
from router.config.load import load
from router.surroundings import surroundings_of

CONFIG = """
upstreams:
  openai: {kind: openai, base_url: "https://api.openai.com/v1"}
  gpu: {kind: openai, base_url: "http://127.0.0.1:8000/v1"}
  claude: {kind: litellm, provider: anthropic}
models:
  large: {upstream: openai, price: {listed_as: gpt-4.1, provider: openai}, shutdown_date: 2027-01-14}
  later: {upstream: openai, price: {input: 1, output: 1}, shutdown_date: 2027-09-01}
  own:
    upstream: gpu
    price:
      {gpu_hour: "2.50", gpus: 2, prompt_tokens_per_second: 9, completion_tokens_per_second: 9, always_on: true}
  asked:
    upstream: gpu
    price: {gpu_hour: "2.50", prompt_tokens_per_second: 9, completion_tokens_per_second: 9}
  other: {upstream: claude, price: {input: 1, output: 1}}
routes: {support: {candidates: [large, own]}, auto: {candidates: [large]}}
tenants: {acme: {}}
ledger: {tags: [team, app]}
"""


def test_reports_know_tags_providers_gpus_and_shutdowns(tmp_path: Path) -> None:
    path = tmp_path / "weir.yaml"
    path.write_text(CONFIG)
    found = surroundings_of(load(path), date(2026, 11, 25))
    assert found.tags == ("team", "app")
    assert found.providers == {
        "large": Provider("openai", "openai"),
        "later": Provider("openai", "openai"),
        "own": Provider("gpu", "gpu"),
        "asked": Provider("gpu", "gpu"),
        "other": Provider("anthropic", "claude"),
    }
    assert found.idle_gpus == {"own": Decimal(5)}
    assert found.shutdowns == (Shutdown("large", date(2027, 1, 14), ("support", "auto"), "config"),)
    assert found.tenants == {"acme"}
