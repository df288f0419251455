"""Alerts and dashboards ask for metrics that Weir has, where Prometheus and Grafana will look for them."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.config.load import load
from router.config.schema import Ledger
from router.main import House
from tests.deploy.deployment import DEPLOY, compose, example_environment, load_yaml

RULES: list[dict[str, Any]] = [
    rule for group in load_yaml("deploy/prometheus/rules.yaml")["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/weir.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
_METRIC = r"\b(?:weir|process)_[a-z_]+" if sys.platform == "linux" else r"\bweir_[a-z_]+"


@cache
def exposed() -> frozenset[str]:
    """Sample names on the /metrics of a Weir that runs on the deployment's own configuration."""

    async def page() -> bytes:
        with TemporaryDirectory() as folder:
            environ = dict.fromkeys(example_environment(), "a-secret")
            environ["WEIR_DATABASE_URL"] = f"sqlite+aiosqlite:///{folder}/ledger.db"
            environ["WEIR_REDIS_URL"] = environ["WEIR_COUNTERS_URL"] = "redis://127.0.0.1:1"
            path = DEPLOY / "weir.yaml"
            house = House(load(path, environ), path, state=Path(folder), bound_to="0.0.0.0")
            try:
                await house.open()
                return house.metrics.page()
            finally:
                await house.close()

    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    families = text_string_to_metric_families(asyncio.run(page()).decode())
    return frozenset(f.name + suffix for f in families for suffix in suffixes.get(f.type, ("",)))


def named(text: str) -> set[str]:
    return set(re.findall(_METRIC, text))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_asks_for_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert named(rule["expr"]) <= exposed()
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert named(rule["annotations"]["description"]) <= exposed()


def test_dashboard_asks_for_metrics_that_exist() -> None:
    queries = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]
    queries += [variable["definition"] for variable in DASHBOARD["templating"]["list"]]
    assert len(queries) > 30
    assert named("\n".join(queries)) <= exposed()


def test_nothing_that_is_exposed_goes_unseen() -> None:
    seen = named(json.dumps(DASHBOARD) + json.dumps(RULES))
    dispensable = re.compile(r".*_(sum|count|created)|process_(virtual_memory_bytes|start_time_seconds|max_fds)")
    unseen = {name for name in exposed() - seen if not dispensable.fullmatch(name)}
    assert not unseen


def test_the_spool_alert_comes_before_the_spool_is_full() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "WeirSpoolNearlyFull"]
    limit = re.fullmatch(r"weir_spool_bytes > ([0-9. *]+)", rule["expr"].strip())
    assert limit is not None
    bytes_waiting = 1.0
    for factor in limit.group(1).split("*"):
        bytes_waiting *= float(factor)
    assert bytes_waiting == pytest.approx(0.8 * Ledger().spool_max_bytes)


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = load_yaml("deploy/grafana/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    asked = {panel["datasource"]["uid"] for panel in PANELS if "datasource" in panel}
    assert asked == {source["uid"]}
    (provider,) = load_yaml("deploy/grafana/dashboards/provider.yaml")["providers"]
    grafana = compose()["services"]["grafana"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/weir.json"


def test_prometheus_finds_weir_with_the_key_that_opens_its_metrics() -> None:
    prometheus = compose()["services"]["prometheus"]
    config = load_yaml("deploy/prometheus/prometheus.yaml")
    (job,) = config["scrape_configs"]
    assert job["job_name"] in str([rule["expr"] for rule in RULES])
    assert job["static_configs"] == [{"targets": ["weir:8080"]}]
    secret = job["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert prometheus["secrets"] == [secret]
    name = compose()["secrets"][secret]["environment"]
    assert load_yaml("deploy/weir.yaml")["server"]["metrics_key"] == f"${{{name}}}"
    assert f"--config.file=/etc/prometheus/{'prometheus.yaml'}" in prometheus["command"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in prometheus["volumes"]
    assert all((DEPLOY / "prometheus" / path).is_file() for path in config["rule_files"])
