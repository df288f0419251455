"""schemathesis against Weir's own OpenAPI document: whatever is sent, Weir itself never fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from tests.e2e.running import RunningWeir, running_weir, write_config

EXAMPLES = 25
OF_DOCUMENTS, FEWER = ("/v1/files", "/v1/vector_stores"), 10
"""Their many operations are alike, and what each refuses is tried in tests/router/web/."""
KEY = {"Authorization": "Bearer sk-weir-demo-acme"}


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder: Path = tmp_path_factory.mktemp("schema")
    with running_weir(write_config(folder), folder / "state") as weir:
        yield weir


def test_whatever_is_sent_weir_itself_never_fails(weir: RunningWeir) -> None:
    schema = schemathesis.openapi.from_url(f"{weir.url}/openapi.json", headers=KEY)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/chat/completions", "/v1/decisions/{request_id}"}
    for operation in operations:
        examples = FEWER if operation.path.startswith(OF_DOCUMENTS) else EXAMPLES
        _try_hard(operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE), examples)
        if operation.body:
            _try_hard(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE), examples)


def _try_hard(cases: SearchStrategy[schemathesis.Case], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def send(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = "auto"  # a model that exists, so that bodies get past the first check
        response = case.call(headers=KEY, timeout=30)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    send()
