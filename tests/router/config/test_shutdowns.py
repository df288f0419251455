"""When models are turned off, and whom that hits."""

from __future__ import annotations

from datetime import date, timedelta
from importlib.util import find_spec
from typing import Any

import pytest

from router.config.schema import Config
from router.config.shutdowns import NOTICE_DAYS, Shutdown, shutdown_of, shutdown_warnings

DAY = date(2027, 1, 14)
UPSTREAMS = {
    "openai": {"kind": "openai", "base_url": "https://api.openai.com/v1"},
    "anthropic": {"kind": "openai", "base_url": "https://api.anthropic.com/v1"},
    "azure": {"kind": "litellm", "provider": "azure"},
    "gpu": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1"},
}
needs_litellm = pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed")


def config(models: dict[str, Any], routes: dict[str, Any] | None = None) -> Config:
    return Config.model_validate({"upstreams": UPSTREAMS, "models": models, "routes": routes or {}, "tenants": {}})


def test_the_configurations_own_date_counts() -> None:
    found = config({"m": {"upstream": "anthropic", "name": "claude-sonnet-4-5", "shutdown_date": "2027-01-14"}})
    assert shutdown_of(found, "m") == Shutdown(DAY, "config")


@needs_litellm
def test_else_what_litellms_list_says_of_that_provider() -> None:
    models = {
        "sonnet": {"upstream": "anthropic", "name": "claude-sonnet-4-5"},
        "gpt-4o": {"upstream": "azure"},
        "o3": {"upstream": "azure", "name": "unheard-of"},
        "elsewhere": {"upstream": "openai", "name": "claude-sonnet-4-5"},
        "ours": {"upstream": "gpu", "name": "claude-sonnet-4-5"},
    }
    found = config(models)
    told = {name: shutdown_of(found, name) for name in models}
    assert told["sonnet"] is not None
    assert told["sonnet"].source == "litellm's list"
    assert told["gpt-4o"] is not None
    assert (told["o3"], told["elsewhere"], told["ours"]) == (None, None, None)


def test_a_model_that_is_turned_off_soon_is_told_with_its_routes() -> None:
    models = {"m": {"upstream": "gpu", "shutdown_date": DAY}, "n": {"upstream": "gpu"}}
    routes = {"support": {"candidates": ["n", "m"]}, "chat": {"candidates": ["n"]}, "auto": {"candidates": ["m"]}}
    found = config(models, routes)
    soon, early = DAY - timedelta(days=NOTICE_DAYS), DAY - timedelta(days=NOTICE_DAYS + 1)
    assert list(shutdown_warnings(found, early)) == []
    assert list(shutdown_warnings(found, soon)) == [
        "models.m: is turned off on 2027-01-14 (config); used by support, auto"
    ]
    assert list(shutdown_warnings(found, DAY)) == [
        "models.m: was turned off on 2027-01-14 (config); used by support, auto"
    ]
    assert list(shutdown_warnings(config(models), DAY)) == [
        "models.m: was turned off on 2027-01-14 (config); no route uses it"
    ]


@pytest.mark.parametrize("wrong", [20270114, "soon", "2027-13-01", "14.01.2027", True, 0.5])
def test_what_is_no_date_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be a date such as 2027-01-14"):
        config({"m": {"upstream": "gpu", "shutdown_date": wrong}})
