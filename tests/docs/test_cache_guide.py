"""The guide to the cache names settings, headers, metrics, verbs and paths that exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import yaml
from click.testing import CliRunner

from router.config.schema import Config
from weir.cache import cache

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guides/cache.md").read_text()


def test_its_snippet_is_a_configuration_once_it_has_tenants() -> None:
    (snippet,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    config = Config.model_validate({**yaml.safe_load(snippet), "tenants": {}})
    assert config.routes["support"].cache.semantic is not None


def test_the_verbs_and_options_it_shows_exist() -> None:
    lines = re.findall(r"^weir cache (\w+)([^#\n]*)", GUIDE, re.MULTILINE)
    assert {verb for verb, _ in lines} == {"invalidate", "inspect", "evaluate", "train"}
    for verb, rest in lines:
        command = cache.get_command(click.Context(cache), verb)
        assert command is not None
        shown = CliRunner().invoke(command, ["--help"]).output
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in shown


def test_the_headers_metrics_and_paths_it_names_are_in_the_reference() -> None:
    for page, pattern in (
        ("api.md", r"x-weir-[a-z-]+"),
        ("api.md", r"/v1/[a-z_/{}]+"),
        ("metrics.md", r"weir_[a-z_]+[a-z]"),
    ):
        reference = (DOCS / "reference" / page).read_text()
        named = set(re.findall(pattern, GUIDE))
        assert named
        assert {name for name in named if name not in reference} == set()


def test_the_settings_it_names_exist() -> None:
    reference = (DOCS / "reference/config.md").read_text()
    named = set(re.findall(r"`cache\.(?:matching\.)?(\w+)`", GUIDE))
    assert named
    for setting in named:
        assert f"\n| `{setting}` | " in reference
