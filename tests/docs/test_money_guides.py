"""The guides to budgets, access and the ledger name settings, metrics, paths and fields that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from contracts.budgets import Crossing
from ledger.spool import REJECTED
from ledger.tables import SCHEMA_VERSION
from router.alerts import message_of
from router.config.schema import Config

DOCS = Path(__file__).parents[2] / "docs"
BUDGETS, LEDGER, ACCESS = ((DOCS / f"guides/{name}.md").read_text() for name in ("budgets", "ledger", "access"))
API = (DOCS / "reference/api.md").read_text()
CROSSING = Crossing(
    budget="b", account={}, measure="usd", hard=True, share=0.8, spent=1, limit=2, window="month", resets_at=None
)


@pytest.mark.parametrize("snippet", re.findall(r"```yaml\n(.*?)```", BUDGETS, re.DOTALL))
def test_snippets_are_configurations_once_the_rest_is_there(snippet: str) -> None:
    rest = {
        "upstreams": {"u": {"kind": "scripted"}},
        "models": {"support-large": {"upstream": "u"}},
        "tenants": {"acme": {}},
    }
    Config.model_validate({**rest, **yaml.safe_load(snippet)})


def test_the_alert_it_shows_has_the_fields_of_one() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", BUDGETS, re.DOTALL)
    assert list(json.loads(block)) == list(message_of(CROSSING))


@pytest.mark.parametrize("guide", [BUDGETS, LEDGER, ACCESS], ids=["budgets", "ledger", "access"])
def test_settings_metrics_and_paths_exist(guide: str) -> None:
    settings = (DOCS / "reference/config.md").read_text()
    for setting in re.findall(r"`(?:ledger|budgets|alerts)\.(\w+)", guide):
        assert f"\n| `{setting}` | " in settings, setting
    metrics = (DOCS / "reference/metrics.md").read_text()
    assert {name for name in re.findall(r"weir_[a-z_]+[a-z]", guide) if name not in metrics} == set()
    assert {path for path in re.findall(r"/(?:v1|admin/v1)/[a-z_/{}]+", guide) if path not in API} == set()


def test_the_guide_to_the_ledger_knows_the_newest_schema_and_the_file_of_what_is_set_aside() -> None:
    assert f"to {SCHEMA_VERSION},**" in LEDGER
    assert f"`spool/{REJECTED}`" in LEDGER


def test_the_reference_asks_for_the_roles_that_the_guide_names() -> None:
    """Which are those of the code: tests/router/web/test_admin_rules.py."""
    told = re.findall(r"^\| `([A-Z]+ /admin/v1/\S+)` \| (\w+)", ACCESS, re.MULTILINE)
    assert len(told) > 15
    assert dict(told) == dict(re.findall(r"^\| `([A-Z]+ /admin/v1/\S+)` \| (\w+) \|", API, re.MULTILINE))


def test_the_error_it_shows_has_the_members_of_one() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / "reference/errors.md").read_text(), re.DOTALL)
    assert list(json.loads(block)["error"]["weir"]) == ["budget", "measure", "limit", "left", "resets_at"]
