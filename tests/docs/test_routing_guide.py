"""The guide to routing names settings, goals, headers, metrics, verbs and paths that exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from router.config import policies, schema
from router.learning.notebook import notebook_path
from weir.__main__ import main

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guides/routing.md").read_text()
TOLD = set(re.findall(r"`([^`\n]+)`", GUIDE))
SECTIONS: dict[str, type[schema.Section]] = {
    "learning": policies.Learning,
    "policy": policies.LearnedPolicy,
    "server": schema.Server,
    "tenants.*": schema.Tenant,
    "models.*": schema.Model,
    "goal": policies.Goal,
    "check": policies.AnswerCheck,
}


def fields(*sections: type[schema.Section]) -> set[str]:
    return {name for section in sections for name in section.model_fields}


def test_its_snippet_is_a_configuration() -> None:
    (snippet,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    route = schema.Config.model_validate(yaml.safe_load(snippet)).routes["auto"]
    assert isinstance(route.policy, policies.LearnedPolicy)
    assert route.policy.check is not None
    assert route.learning is not None


def test_the_verbs_and_options_it_shows_exist() -> None:
    shown = re.findall(r"`weir (router|route) (\w+)([^`]*)`", GUIDE)
    assert {(group, verb) for group, verb, _ in shown} >= {
        *(("router", verb) for verb in ("train", "evaluate", "promote", "rollback")),
        ("route", "explain"),
    }
    for group, verb, rest in shown:
        told = CliRunner().invoke(main, [group, verb, "--help"])
        assert told.exit_code == 0, (group, verb)
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in told.output, (verb, option)
    for option in re.findall(r"\((--[a-z-]+)\)", GUIDE):
        assert option in CliRunner().invoke(main, ["router", "train", "--help"]).output


def test_every_verb_is_explained() -> None:
    context = click.Context(main)
    for group in ("router", "route"):
        found = main.get_command(context, group)
        assert isinstance(found, click.Group)
        for verb in found.list_commands(click.Context(found)):
            assert f"weir {group} {verb}" in GUIDE


@pytest.mark.parametrize(
    ("page", "pattern", "some"),
    [
        ("api.md", r"x-weir-[a-z-]+", {"x-weir-degraded", "x-weir-session"}),
        ("api.md", r"/v1/[a-z_/{}]+", {"/v1/decisions/{request_id}", "/v1/decisions/{request_id}/feedback"}),
        ("metrics.md", r"weir_[a-z_]+[a-z]", set()),
    ],
)
def test_the_headers_metrics_and_paths_it_names_are_in_the_reference(
    page: str, pattern: str, some: set[str]
) -> None:
    reference = (DOCS / "reference" / page).read_text()
    named = set(re.findall(pattern, GUIDE))
    assert some <= named
    assert {name for name in named if name not in reference} == set()


def test_the_settings_it_names_exist() -> None:
    named = {
        (section, name)
        for told in TOLD
        for section, name in re.findall(r"^(learning|policy|server|tenants\.\*|models\.\*|goal|check)\.(\w+)", told)
    }
    assert {("learning", "judge"), ("policy", "explore"), ("tenants.*", "refused_models")} <= named
    for section, name in named:
        assert name in SECTIONS[section].model_fields, f"{section}.{name}"


def test_each_goal_has_its_row_and_each_row_a_value_that_is_one() -> None:
    rows = re.findall(r"^\| `((\w+): [^`]+)` \|", GUIDE, re.MULTILINE)
    bounds = {"max_cost", "max_p95_ms"}
    assert {name for _, name in rows} == fields(policies.Goal) - bounds
    for text, _ in rows:
        policies.Goal.model_validate(yaml.safe_load(text))
    assert bounds <= TOLD


def test_whatever_looks_like_a_setting_is_one() -> None:
    """Words with an underscore, and what is given a value."""
    known = fields(*SECTIONS.values()) | fields(policies.FixedPolicy) | {"prompt_cache_key"}
    for told in TOLD:
        if match := re.fullmatch(r"([a-z]\w*_\w+)|([a-z]\w*): .+", told):
            assert (match[1] or match[2]) in known, told
    checks = {"second", "votes", "self_check", "first_tokens", "hold_seconds", "logprobs"}
    assert checks <= fields(policies.AnswerCheck)
    assert checks <= {told.partition(":")[0] for told in TOLD}


def test_the_headers_word_for_what_is_missing_is_documented() -> None:
    words = re.findall(r"`x-weir-degraded: (\w+)`", GUIDE)
    assert words == ["router"]
    assert "`router`" in (DOCS / "reference/api.md").read_text()


def test_lines_are_where_it_says() -> None:
    assert "`outcomes/`" in GUIDE
    assert notebook_path(Path("state"), "acme").parent == Path("state/outcomes")
