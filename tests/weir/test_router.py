"""`weir router`: from lines in the state folder to an artefact that decides, past the gate, and back again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from encoder.card import BUILT, read_card
from registry.store import Registry
from router.choice.parts import Place
from router.choice.shelf import INTENTS, QUALITY, read_heads
from router.learning.notebook import notebook_path
from tests.distill.planted import STRONG_QUALITY, WEAK_QUALITY, queries
from weir.router import router

pytest.importorskip("lightgbm", reason="the extra `learn` is not installed")
pytestmark = pytest.mark.skipif(
    not (BUILT / "encoder.json").exists(), reason="the encoder is not built: weir encoder build"
)

Run = Callable[..., Result]
PRICE = {"input": "1", "output": "2"}
LEARNED = {"kind": "learned", "goal": {"share": 0.5}}
CONFIG = {
    "upstreams": {"scripted": {"kind": "scripted"}},
    "models": {name: {"upstream": "scripted", "name": "echo", "price": PRICE} for name in ("large", "small")},
    "routes": {
        "auto": {"candidates": ["large", "small"], "policy": LEARNED, "learning": {}},
        "faq": {"candidates": ["large", "small"], "learning": {"shared": True}},
        "plain": {"candidates": ["small", "large"]},
        "auto/acme": {"candidates": ["large", "small"], "learning": {"shared": True}},
    },
    "tenants": {"acme": {}, "globex": {}},
}
MANY = 120


def plant(state: Path, tenant: str, route: str, seed: int, *, many: int = MANY, noise: bool = False) -> list[str]:
    """The questions of which lines were written: both models answered, `small` well on some topics alone."""
    texts, topics, _ = queries(many, seed)
    draw = np.random.default_rng(seed)
    path = notebook_path(state, tenant)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for number, (text, topic) in enumerate(zip(texts, topics, strict=True)):
            about = {
                "request_id": f"req_{seed}_{number}",
                "at": "",
                "route": route,
                "tenant": tenant,
                "query": text,
            }
            chosen = "large" if draw.random() < 0.5 else "small"
            asked = {"model": chosen, "chosen": chosen, "propensities": {"large": 0.5, "small": 0.5}}
            cost = "0.01" if chosen == "large" else "0.001"
            file.write(json.dumps(about | asked | {"intent": "unknown", "cost_usd": cost}) + "\n")
            for model, good in (("large", STRONG_QUALITY), ("small", 0.5 if noise else WEAK_QUALITY[topic])):
                score = float(draw.random() < good)
                file.write(json.dumps(about | {"model": model, "score": score, "source": "shadow"}) + "\n")
    return texts


def runner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(router, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, and lines of both tenants."""
    folder = tmp_path_factory.mktemp("router")
    (folder / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    plant(folder / "state", "acme", "auto", 1)
    plant(folder / "state", "globex", "auto", 2, noise=True)
    plant(folder / "state", "acme", "faq", 3, many=60)
    plant(folder / "state", "globex", "faq", 4, many=60)
    return folder


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(home, monkeypatch)


ACME = ("--route", "auto", "--tenant", "acme")
GLOBEX = ("--route", "auto", "--tenant", "globex")


def done(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def trained(home: Path) -> Iterator[dict[str, Any]]:
    """What `train` said of acme, whose traffic tells the models apart."""
    with pytest.MonkeyPatch.context() as patch:
        yield done(runner(home, patch)("train", *ACME, "--json"))


@pytest.fixture(scope="module")
def noisy(home: Path) -> str:
    """The version of what was learned from globex's noise."""
    with pytest.MonkeyPatch.context() as patch:
        return str(done(runner(home, patch)("train", *GLOBEX, "--json"))["version"])


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(home / "state/registry")


# --- training


def test_what_was_written_down_is_learned_into_the_registry(trained: dict[str, Any], registry: Registry) -> None:
    stored = registry.get("router", "auto/acme", trained["version"])
    assert stored.files == (QUALITY,)
    assert (stored.card["route"], stored.card["owner"]) == ("auto", "acme")
    assert stored.card["encoder"] == read_card(BUILT).version
    assert set(trained["left_out"]) == {"intents", "check"}
    (apgr,) = [one for one in trained["evidence"] if one["metric"] == "apgr small"]
    assert (apgr["n"], apgr["low"] > 0.5) == (MANY, True)
    heads = read_heads(Place(stored.folder, "v1", stored.card["encoder"]), read_card(BUILT).version)
    assert heads.quality is not None and heads.quality.models == ("large", "small")


def test_training_decides_nothing_and_tells_what_comes_next(
    trained: dict[str, Any], run: Run, registry: Registry
) -> None:
    before = registry.aliases("router", "auto/acme")
    shown = " ".join(run("train", *ACME).stdout.split())
    # The same lines make the same artefact.
    assert f"weir router promote --route auto --tenant acme {trained['version']}" in shown
    assert "Not learned: intents (no examples of intents were given)" in shown
    assert registry.aliases("router", "auto/acme") == before


def test_a_tenants_training_reads_no_other_tenants_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: dict[str, Any]
) -> None:
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    plant(tmp_path / "state", "acme", "auto", 1)  # as at home, with nobody beside
    (tmp_path / "state/outcomes/globex.jsonl").mkdir()  # reading it would be an error
    alone = done(runner(tmp_path, monkeypatch)("train", *ACME, "--json"))
    assert alone["version"] == trained["version"]


def test_where_tenants_learn_together_all_of_their_lines_count(run: Run, registry: Registry) -> None:
    found = done(run("train", "--route", "faq", "--json"))
    stored = registry.get("router", "faq", found["version"])
    assert (stored.card["owner"], stored.card["lineage"]["questions"]) == ("", 120)
    assert stored.card["lineage"]["tenant"] == "all of the route's"


def test_the_older_half_of_the_lines_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    plant(tmp_path / "state", "acme", "auto", 1, many=30)
    path = notebook_path(tmp_path / "state", "acme")
    path.rename(path.with_suffix(".jsonl.old"))
    plant(tmp_path / "state", "acme", "auto", 2, many=30)
    run = runner(tmp_path, monkeypatch)
    version = done(run("train", *ACME, "--json"))["version"]
    card = Registry(tmp_path / "state/registry").get("router", "auto/acme", version).card
    assert card["lineage"]["questions"] == 60


def test_scores_and_examples_from_files_and_a_folder_in_place_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    texts, topics, _ = queries(60, 7)
    draw = np.random.default_rng(1)
    rows = [
        {"query": text, "model": model, "score": float(draw.random() < good)}
        for text, topic in zip(texts, topics, strict=True)
        for model, good in (("large", STRONG_QUALITY), ("small", WEAK_QUALITY[topic]))
    ]
    (tmp_path / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = [{"text": text, "intent": topic} for text, topic in zip(texts, topics, strict=True)][:40]
    (tmp_path / "intents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in examples))
    files = ("--outcomes", "evals.jsonl", "--intents", "intents.jsonl")
    shown = runner(tmp_path, monkeypatch)("train", *ACME, *files, "--out", "made")
    assert shown.exit_code == 0, shown.output
    assert "apgr small" in shown.stdout and "intent accuracy" in shown.stdout
    assert "Not learned: check" in shown.stdout
    assert "in made" in shown.stdout and "promote" not in shown.stdout
    assert {path.name for path in (tmp_path / "made").iterdir()} == {QUALITY, INTENTS, "card.json"}
    assert json.loads((tmp_path / "made/card.json").read_text())["encoder"] == read_card(BUILT).version
    assert not (tmp_path / "state/registry").exists()


# --- trying


def test_an_artefact_is_tried_on_past_requests(run: Run, trained: dict[str, Any]) -> None:
    found = done(run("evaluate", *ACME, trained["version"], "--json"))
    assert (found["version"], found["requests"], found["shadowed"]) == (trained["version"], MANY, MANY)
    assert found["reference_share"] == pytest.approx(0.5, abs=0.05)  # the route's goal
    policies = found["policies"]
    assert set(policies) == {
        "learned",
        "all large",
        "all small",
        f"random at the same share ({found['reference_share']:.2f})",
    }
    rewards = {name: one["rewards"]["direct"]["value"] for name, one in policies.items()}
    assert rewards["all small"] < rewards["learned"] <= 1
    assert policies["all large"]["costs"]["direct"]["value"] == pytest.approx(0.01)
    shown = run("evaluate", *ACME, trained["version"]).stdout
    assert f"{MANY} scored requests" in shown and "all large" in shown


# --- promoting


def test_the_gate_lets_through_what_is_better_than_chance_for_sure(
    home: Path, run: Run, trained: dict[str, Any], registry: Registry
) -> None:
    version = trained["version"]
    found = done(run("promote", *ACME, version, "--json"))
    assert (found["version"], found["passed"]) == (version, True)
    assert all(reason.startswith("held: ") for reason in found["reasons"])
    assert registry.aliases("router", "auto/acme")["production"] == version
    again = done(run("promote", *ACME, version, "--json"))
    assert (again["passed"], again["moved"]) == (True, False)
    told = [entry for entry in registry.log.entries(kind="router", name="auto/acme") if entry.what == "verdict"]
    assert told and told[-1].version == version


def test_the_gate_refuses_noise_and_moves_nothing(run: Run, noisy: str, registry: Registry) -> None:
    before = registry.aliases("router", "auto/globex")
    refused = run("promote", *GLOBEX, noisy)
    assert refused.exit_code == 1
    assert "failed: apgr small" in refused.stdout
    assert "--force" in refused.stderr and "--reason" in refused.stderr
    assert registry.aliases("router", "auto/globex") == before
    as_json = run("promote", *GLOBEX, noisy, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["passed"] is False
    assert json.loads(as_json.stdout)["moved"] is False


def test_force_needs_a_reason_which_is_in_the_log(run: Run, noisy: str, registry: Registry) -> None:
    without = run("promote", *GLOBEX, noisy, "--force", "--alias", "canary")
    assert without.exit_code == 2
    assert "--reason" in without.stderr
    assert "canary" not in registry.aliases("router", "auto/globex")
    arguments = ("--force", "--reason", "see ticket 12", "--alias", "canary", "--json")
    forced = done(run("promote", *GLOBEX, noisy, *arguments))
    assert (forced["passed"], forced["moved"]) == (False, True)
    assert registry.aliases("router", "auto/globex")["canary"] == noisy
    *_, verdict, point = registry.log.entries(kind="router", name="auto/globex")
    assert (verdict.what, point.what) == ("verdict", "point")
    assert "see ticket 12" in str(point)
    assert "failed: apgr small" in str(verdict)


def test_rules_may_be_changed_for_once(run: Run, trained: dict[str, Any]) -> None:
    version = trained["version"]
    strict = run("promote", *ACME, version, "--rule", "least_queries=100000", "--alias", "canary")
    assert strict.exit_code == 1
    assert f"{MANY} queries of 100000" in strict.stdout
    loose = ("--rule", "least_queries=1", "--rule", "least_apgr=0", "--rule", "most_calibration_error=1")
    found = done(run("promote", *ACME, version, *loose, "--alias", "canary", "--json"))
    assert found["moved"]


def test_back_to_what_was_there_before(home: Path, run: Run, trained: dict[str, Any], registry: Registry) -> None:
    first = trained["version"]
    assert run("promote", *ACME, first).exit_code == 0
    stored = registry.get("router", "auto/acme", first)
    files = {name: (stored.folder / name).read_bytes() for name in stored.files}
    second = registry.put("router", "auto/acme", files, {**stored.card, "summary": "Another."})
    shown = run("promote", *ACME, second)
    assert shown.exit_code == 0, shown.output
    assert f"production of auto/acme is {second} now" in shown.stdout
    assert done(run("rollback", *ACME, "--reason", "complaints", "--json")) == {"version": first}
    assert registry.aliases("router", "auto/acme")["production"] == first
    *_, last = registry.log.entries(kind="router", name="auto/acme")
    assert (last.what, "complaints" in str(last)) == ("rollback", True)
    refused = run("rollback", *ACME, "--reason", "more complaints")
    assert refused.exit_code == 1
    assert "nothing to roll" in refused.stderr
    assert run("rollback", *ACME).exit_code == 2  # without a reason


def test_a_worse_one_is_held_against_what_is_in_production(
    run: Run, trained: dict[str, Any], registry: Registry
) -> None:
    stored = registry.get("router", "auto/acme", trained["version"])
    assert run("promote", *ACME, stored.version).exit_code == 0
    files = {name: (stored.folder / name).read_bytes() for name in stored.files}
    worse = [
        {**row, "value": row["value"] - 0.05} if row["metric"] == "apgr small" else row
        for row in stored.card["evidence"]
    ]
    version = registry.put("router", "auto/acme", files, {**stored.card, "evidence": worse})
    refused = run("promote", *ACME, version)
    assert refused.exit_code == 1
    assert "+0.050 lost" in refused.stdout


def test_a_damaged_one_in_production_can_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, trained: dict[str, Any], registry: Registry
) -> None:
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    stored = registry.get("router", "auto/acme", trained["version"])
    files = {name: (stored.folder / name).read_bytes() for name in stored.files}
    other, run = Registry(tmp_path / "state/registry"), runner(tmp_path, monkeypatch)
    old = other.put("router", "auto/acme", files, {**stored.card, "summary": "Old."})
    new = other.put("router", "auto/acme", files, stored.card)
    other.point("router", "auto/acme", "production", old, by="test", reason="")
    path = other.get("router", "auto/acme", old).folder / QUALITY
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    assert "is damaged" in run("promote", *ACME, old).stderr
    assert run("promote", *ACME, new).exit_code == 0
    assert other.aliases("router", "auto/acme")["production"] == new


def test_what_was_learned_for_another_is_neither_tried_nor_promoted(
    run: Run, trained: dict[str, Any], registry: Registry
) -> None:
    """Route `auto/acme`, of all tenants, is called much like what acme taught on route `auto`."""
    before = registry.aliases("router", "auto/acme")
    for verb in ("evaluate", "promote"):
        refused = run(verb, "--route", "auto/acme", trained["version"])
        assert refused.exit_code == 1
        assert "There is no version" in refused.stderr
    assert registry.aliases("router", "auto/acme") == before


def test_a_user_without_a_name_is_a_number_in_the_log(
    run: Run, trained: dict[str, Any], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import getpass

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert run("promote", *ACME, trained["version"], "--alias", "nameless").exit_code == 0
    *_, last = registry.log.entries(kind="router", name="auto/acme")
    assert last.by == str(os.getuid())


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "status", "advice"),
    [
        (("train", "--route", "nowhere", "--tenant", "acme"), 2, "there are auto, auto/acme, faq, plain"),
        (("train", "--route", "auto"), 2, "name one with --tenant (acme, globex)"),
        (("train", "--route", "auto", "--tenant", "nobody"), 2, "there are acme, globex"),
        (("train", "--route", "faq", "--tenant", "acme"), 2, "leave --tenant out"),
        (("train",), 2, "--route"),
        (("train", "--route", "plain", "--tenant", "acme"), 1, "`routes.plain.learning`"),
        (("train", *ACME, "--outcomes", "missing.jsonl"), 2, "missing.jsonl"),
        (("train", *ACME, "--outcomes", "weir.yaml"), 1, "weir.yaml, line 1"),
        (("train", *ACME, "--intents", "weir.yaml"), 1, "weir.yaml:1"),
        (("train", *ACME, "--encoder", "missing"), 1, "missing"),
        (("train", *ACME, "--config", "missing.yaml"), 1, "missing.yaml"),
        (("evaluate", *ACME, "0123456789abcdef"), 1, "There is no version"),
        (("evaluate", *ACME, "nightly"), 1, "no alias or version"),
        (("promote", *ACME, "0123456789abcdef"), 1, "There is no version"),
        (("promote", *ACME, "production", "--rule", "least=1"), 2, "there are least_queries"),
        (("promote", *ACME, "production", "--rule", "least_queries=few"), 2, "needs a number"),
        (("rollback", "--route", "plain", "--tenant", "acme", "--reason", "x"), 1, "nothing to roll"),
    ],
)
def test_mistakes_are_answered_with_advice(
    run: Run, trained: dict[str, Any], arguments: tuple[str, ...], status: int, advice: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert advice in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_too_few_lines_are_said_to_be_and_where_more_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    plant(tmp_path / "state", "acme", "auto", 1, many=5)
    result = runner(tmp_path, monkeypatch)("train", *ACME)
    assert result.exit_code == 1
    assert "20 are needed" in result.stderr and "shadow_share" in result.stderr
    assert not (tmp_path / "state/registry").exists()


def test_what_forecasts_no_quality_cannot_be_tried(run: Run, registry: Registry, home: Path) -> None:
    version = registry.put("router", "auto/acme", {INTENTS: b""}, {"route": "auto", "owner": "acme"})
    result = run("evaluate", *ACME, version)
    assert result.exit_code == 1
    assert "forecasts no quality" in result.stderr


@pytest.mark.parametrize("verb", ["train", "evaluate", "promote", "rollback"])
def test_help_has_an_example(verb: str) -> None:
    shown = CliRunner().invoke(router, [verb, "--help"]).stdout
    assert f"weir router {verb} --route" in shown
    assert set(router.list_commands(click.Context(router))) == {"train", "evaluate", "promote", "rollback"}
