"""schemathesis against Weir's own OpenAPI document: whatever is sent, Weir itself never fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.e2e.running import RunningWeir, running_weir, write_config

KEY = {"Authorization": "Bearer sk-weir-demo-acme"}


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder: Path = tmp_path_factory.mktemp("schema")
    with running_weir(write_config(folder), folder / "state") as weir:
        yield weir


@pytest.fixture(scope="module")
def api(weir: RunningWeir) -> schemathesis.openapi.OpenApiSchema:
    return schemathesis.openapi.from_url(f"{weir.url}/openapi.json", headers=KEY)


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_fits_the_schema_or_breaks_it_is_a_500(case: schemathesis.Case) -> None:
    # Known to the server, so that generated bodies get past the first check.
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = "auto"
    response = case.call(headers=KEY, timeout=30)
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
