from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from evals.targets.spec import DEFAULT_BASE_URL, TargetSpec
from weir.eval_target import target_options

VARIABLES = ("WEIR_BASE_URL", "WEIR_API_KEY", "OPENAI_API_KEY", "WEIR_STATE_DIR")


def run(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[TargetSpec | None, Result]:
    found: list[TargetSpec] = []

    @click.command()
    @click.argument("suite")
    @target_options
    def verb(suite: str, where: TargetSpec) -> None:
        found.append(where.of(suite))

    environ = {**dict.fromkeys(VARIABLES, ""), **(env or {})}
    result = CliRunner(env=environ).invoke(verb, ["support", *arguments])
    return (found[0] if found else None), result


def test_without_options_a_weir_on_this_machine_is_asked() -> None:
    assert run()[0] == TargetSpec(target="support", base_url=DEFAULT_BASE_URL)


@pytest.mark.parametrize(
    ("arguments", "env", "address", "key"),
    [
        ([], {"WEIR_BASE_URL": "http://a/v1", "WEIR_API_KEY": "k"}, "http://a/v1", "k"),
        (["--base-url", "http://b/v1"], {"WEIR_BASE_URL": "http://a/v1"}, "http://b/v1", ""),
        (["--api-key", "flag"], {"WEIR_API_KEY": "k"}, DEFAULT_BASE_URL, "flag"),
        (["--base-url", "https://api.openai.com/v1"], {"OPENAI_API_KEY": "o"}, "https://api.openai.com/v1", "o"),
        (["--base-url", "http://b/v1"], {"OPENAI_API_KEY": "o"}, "http://b/v1", ""),
        (["--base-url", "https://api.openai.com/v1"], {"OPENAI_API_KEY": "o", "WEIR_API_KEY": "k"},
         "https://api.openai.com/v1", "o"),
        (["--base-url", "https://api.openai.com/v1"], {"WEIR_API_KEY": "k"}, "https://api.openai.com/v1", "k"),
    ],
)  # fmt: skip
def test_options_come_before_the_environment(
    arguments: list[str], env: Mapping[str, str], address: str, key: str
) -> None:
    spec, _ = run(*arguments, env=env)
    assert spec is not None
    assert (spec.base_url, spec.api_key) == (address, key)


def test_a_configuration_comes_with_its_own_options() -> None:
    options = ["--config", "w.yaml", "--tenant", "acme", "--prompt", "a=b.md", "--timeout", "3"]
    spec, _ = run(*options, env={"WEIR_BASE_URL": "http://a/v1", "WEIR_STATE_DIR": "/s"})
    assert spec is not None
    assert (spec.config, spec.tenant, spec.prompts, spec.timeout_s) == (Path("w.yaml"), "acme", ("a=b.md",), 3)
    assert spec.state == Path("/s")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "w.yaml", "--base-url", "http://a/v1"], "no --base-url"),
        (["--config", "w.yaml", "--price", "gpt-5.1"], "--price"),
        (["--tenant", "acme"], "need --config"),
        (["--prompt", "a=b"], "need --config"),
        (["--timeout", "0"], "--timeout"),
    ],
)
def test_options_that_exclude_each_other_are_refused(arguments: list[str], says: str) -> None:
    spec, result = run(*arguments)
    assert (spec, result.exit_code) == (None, 2)
    assert says in result.output


def test_help_needs_none_of_the_heavy_parts() -> None:
    seen = "import sys, weir.eval_target; print(*{'aiohttp', 'router.main', 'genai_prices'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
