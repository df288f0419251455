"""A good configuration, what makes a bad one of it, and what is said about that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.config.load import ConfigError, Problem, load

Write = Callable[..., Path]
GOOD = """\
upstreams:
  hosted:
    kind: openai
    base_url: https://api.example.com/v1/
    api_key: ${HOSTED_KEY}
    headers: {x-team: "${TEAM}"}
    stand_in: pretend
  pretend: {kind: scripted}
models:
  large: {upstream: hosted, price: {input: 2.5, output: 10}}
  small: {upstream: pretend, price: {listed_as: gpt-4.1-nano}}
prompts:
  support: {file: prompts/support.txt}
routes:
  support: {candidates: [small, large], prompt: support}
tenants:
  acme:
    routes: [support]
"""
ENVIRON = {"HOSTED_KEY": "sk-hosted-secret", "TEAM": "blue"}


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def refused(path: Path, environ: Mapping[str, str] = ENVIRON) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value


def only(path: Path, environ: Mapping[str, str] = ENVIRON) -> Problem:
    problems = refused(path, environ).problems
    assert len(problems) == 1, problems
    return problems[0]
