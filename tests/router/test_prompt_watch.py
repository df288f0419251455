"""What is in force is compared with its own evidence: the registry says which, the configuration who answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from prompts.evidence import Evidence, ServedBy, written
from prompts.prompt import BookedPrompt
from registry.prompts import PROMPT, promote, put
from registry.store import Registry
from router.config.load import Loaded, load
from router.main import House
from router.prompt_watch import PromptWatch, answering, evidence_in_force, outdated_prompts
from tests.prompts.plain_evidence import SMALL, plain_evidence

TODAY = date(2026, 11, 26)
CONFIG = """\
upstreams:
  pretend: {kind: scripted}
  other: {kind: scripted}
models:
  small: {upstream: pretend, name: echo, price: {input: 1, output: 1}}
  large: {upstream: pretend, price: {input: 1, output: 1}, shutdown_date: 2027-02-24}
prompts:
  support: {file: support.md}
  spare: {file: support.md}
routes:
  support: {candidates: [small, large], prompt: support}
tenants:
  acme: {}
"""
WRITTEN = BookedPrompt.plain("Be nice.", "prepend")
FOUND = BookedPrompt.plain("Be brief.", "prepend")
LARGE = ServedBy(model="large", upstream="pretend", name="large")


def evidence(after: str, *models: ServedBy) -> Evidence:
    return plain_evidence(after, before=WRITTEN.version, models=models or (SMALL,))


def configured(folder: Path, config: str = CONFIG, text: str = "Be nice.") -> Loaded:
    (folder / "support.md").write_text(text, encoding="utf-8")
    path = folder / "weir.yaml"
    path.write_text(config, encoding="utf-8")
    return load(path, {})


def measured(registry: Registry, version: str, *models: ServedBy) -> None:
    found = written(evidence(version, *models))
    registry.verdict(PROMPT, "support", version, passed=True, by="me", reason="better", evidence=found)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Where FOUND is in production, measured with `small`."""
    registry = Registry(tmp_path / "registry")
    put(registry, "support", FOUND.content, "me")
    measured(registry, FOUND.version)
    promote(registry, "support", WRITTEN.content, FOUND.version, by="me", reason="better")
    return registry


def reasons(loaded: Loaded, registry: Registry, today: date = TODAY) -> Mapping[str, tuple[str, ...]]:
    found = outdated_prompts(loaded, evidence_in_force(loaded, registry), today)
    return {each.prompt: each.reasons for each in found}


def test_what_is_promoted_is_held_against_its_evidence(tmp_path: Path, registry: Registry) -> None:
    assert reasons(configured(tmp_path), registry) == {}
    moved = configured(tmp_path, CONFIG.replace("small: {upstream: pretend", "small: {upstream: other"))
    assert reasons(moved, registry) == {
        "support": ("`small` is echo of other now; it was measured with echo of pretend",)
    }


def test_a_fallback_needs_no_evidence_until_it_is_chosen(tmp_path: Path, registry: Registry) -> None:
    assert answering(configured(tmp_path), "support") == (SMALL,)
    for change in ("[large, small]", "[small, large], policy: {kind: fixed, choose: large}"):
        loaded = configured(tmp_path, CONFIG.replace("[small, large]", change))
        assert answering(loaded, "support") == (LARGE,)
        assert reasons(loaded, registry)["support"] == (
            "`small`, which it was measured with, does not answer any more",
            "`large` was never measured with it",
        )


def test_a_policy_that_learns_may_choose_any(tmp_path: Path, registry: Registry) -> None:
    learned = "[small, large], policy: {kind: learned, goal: {share: 0.1}}"
    loaded = configured(tmp_path, CONFIG.replace("[small, large]", learned))
    assert answering(loaded, "support") == (SMALL, LARGE)
    assert reasons(loaded, registry) == {"support": ("`large` was never measured with it",)}


def test_models_that_are_turned_off_within_ninety_days_make_it_outdated(tmp_path: Path, registry: Registry) -> None:
    measured(registry, FOUND.version, LARGE)
    loaded = configured(tmp_path, CONFIG.replace("[small, large]", "[large]"))
    assert reasons(loaded, registry, date(2026, 11, 25)) == {}
    assert reasons(loaded, registry, TODAY) == {"support": ("`large` is turned off on 2027-02-24",)}


def test_an_edited_file_makes_no_claims_and_is_never_outdated(tmp_path: Path, registry: Registry) -> None:
    config = CONFIG.replace("small: {upstream: pretend", "small: {upstream: other")
    assert reasons(configured(tmp_path, config, "Be very nice."), registry) == {}


def test_a_prompt_that_a_tenant_uses_instead_is_asked_about_its_routes(tmp_path: Path, registry: Registry) -> None:
    own = CONFIG.replace(", prompt: support}", ", prompt: spare}")
    assert reasons(configured(tmp_path, own.replace("[small, large]", "[large]")), registry) == {}
    own = own.replace("acme: {}", "acme: {prompts: {support: support}}").replace("[small, large]", "[large]")
    assert "support" in reasons(configured(tmp_path, own), registry)


def test_the_command_names_a_route_that_uses_it(tmp_path: Path, registry: Registry) -> None:
    loaded = configured(tmp_path, CONFIG.replace("support: {candidates: [small, ", "help: {candidates: ["))
    (found,) = outdated_prompts(loaded, evidence_in_force(loaded, registry), TODAY)
    usual = "weir prompts optimise --route help --suite suite --optimiser gepa"
    assert found.advice == f"{usual} --config {tmp_path / 'weir.yaml'}"
    assert str(found).startswith(f"prompts.support: {FOUND.version} must be optimised again: `small`, which")


def test_the_command_leaves_out_who_is_gone(tmp_path: Path) -> None:
    loaded = configured(tmp_path, CONFIG.replace("small: {upstream: pretend", "small: {upstream: other"))

    def advice(**measured: str) -> str:
        found = {"support": plain_evidence(FOUND.version, **measured)}
        return next(iter(outdated_prompts(loaded, found, TODAY))).advice

    assert "--tenant acme --reflect-with large " in advice(tenant="acme", reflect_with="large")
    assert advice(tenant="gone", reflect_with="gone") == advice()


def test_an_empty_or_damaged_registry_says_nothing(tmp_path: Path, registry: Registry) -> None:
    loaded = configured(tmp_path)
    assert evidence_in_force(loaded, Registry(tmp_path / "none")) == {}
    (path,) = registry.folder.glob("prompt/*/aliases.json")
    path.write_text("no", encoding="utf-8")
    assert evidence_in_force(loaded, registry) == {}


def test_a_server_sees_a_verdict_a_rollback_and_another_configuration(tmp_path: Path, registry: Registry) -> None:
    config = CONFIG.replace("small: {upstream: pretend", "small: {upstream: other")
    in_force = [configured(tmp_path)]
    watch = PromptWatch(lambda: in_force[-1], registry)
    assert watch.readings() == {"support": 0.0}
    in_force.append(configured(tmp_path, config))
    assert watch.readings() == {"support": 1.0}
    measured(registry, FOUND.version, ServedBy(model="small", upstream="other", name="echo"))
    assert watch.readings() == {"support": 0.0}
    registry.rollback(PROMPT, "support", "me", "worse")
    assert watch.readings() == {}


def test_the_log_says_it_once(tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    loaded = configured(tmp_path, CONFIG.replace("small: {upstream: pretend", "small: {upstream: other"))
    watch = PromptWatch(lambda: loaded, registry)
    with caplog.at_level(logging.WARNING):
        watch.readings()
        assert not caplog.records
        watch.tell()
        watch.tell()
    (record,) = caplog.records
    assert record.getMessage().endswith(f"--suite suite --optimiser gepa --config {tmp_path / 'weir.yaml'}")


async def test_a_server_shows_it_and_says_it_after_its_start(
    tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    config = CONFIG.replace("small: {upstream: pretend", "small: {upstream: other")
    loaded = configured(tmp_path, f"{config}server: {{reload_seconds: 0.1}}\n")
    house = House(loaded, tmp_path / "weir.yaml", state=tmp_path, bound_to="127.0.0.1")
    try:
        await house.open()
        assert b'weir_prompt_outdated{prompt="support"} 1.0' in house.metrics.page()
        async with asyncio.timeout(30):
            while "must be optimised again" not in caplog.text:  # noqa: ASYNC110 - a thread says it
                await asyncio.sleep(0.01)
    finally:
        await house.close()
