"""The snippets of the guide to local models are valid configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from router.config.schema import Config

GUIDE = (Path(__file__).parents[2] / "docs/guides/local-models.md").read_text()
SNIPPETS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["gguf", "openai", "vllm", "litellm"])
def test_a_snippet_is_a_configuration_once_it_has_tenants(snippet: str, request: pytest.FixtureRequest) -> None:
    config = Config.model_validate({**yaml.safe_load(snippet), "tenants": {}})
    assert {upstream.kind for upstream in config.upstreams.values()} == {request.node.callspec.id}
    assert {model.upstream for model in config.models.values()} == set(config.upstreams)
