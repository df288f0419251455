"""`weir distill list`, `show`, `promote`, `rollback` and `withdraw`: which student answers, and who may say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from contracts.artefacts import CANARY, PREVIOUS, PRODUCTION
from contracts.students import CONTENT, LAYOUT, STUDENT, Student, Variant, student_bytes
from distill.student.storing import put
from registry.store import Registry
from weir.distill import distill

Run = Callable[..., Result]
CONFIG = {
    "upstreams": {"stand-in": {"kind": "scripted"}},
    "models": {"large": {"upstream": "stand-in", "name": "echo", "price": {"input": "1", "output": "2"}}},
    "routes": {
        "support": {"candidates": ["large"], "learning": {"shared": True}},
        "apart": {"candidates": ["large"], "learning": {}},
    },
    "tenants": {"acme": {}},
}


class Shelf:
    """A registry with students in it, and a command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = Registry(folder / "state" / "registry")

    def put(self, weights: str, *, passed: bool, owner: str = "") -> str:
        here = self.folder / weights
        here.mkdir()
        student = Student(
            layout=LAYOUT,
            route="apart" if owner else "support",
            owner=owner,
            teacher="large",
            intents=("track",),
            least_good=0.9,
            turns=1,
            most_tokens=256,
            encoder="0" * 16,
            variants=(Variant(name="q8_0", engine="gguf", files=("student.gguf",), bytes=len(weights)),),
        )
        (here / CONTENT).write_bytes(student_bytes(student))
        (here / "student.gguf").write_text(weights)
        verdict = {"passed": passed, "reasons": ["held: quality" if passed else "failed: quality"]}
        card: Mapping[str, Any] = {"route": student.route, "owner": owner, "summary": weights, "verdict": verdict}
        return put(self.registry, here, card, by="somebody")

    @property
    def aliases(self) -> Mapping[str, str]:
        return self.registry.aliases(STUDENT, "support")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    return Shelf(tmp_path)


@pytest.fixture
def run(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(shelf.folder)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(distill, arguments)


def test_what_passed_may_be_promoted_and_taken_back(shelf: Shelf, run: Run) -> None:
    first, second = shelf.put("first", passed=True), shelf.put("second", passed=True)
    said = run("promote", "--route", "support", first).stdout
    assert f"{PRODUCTION} of support is {first} now" in said
    assert "rollback" not in said, "there is none before it"
    assert "weir distill withdraw" in said
    result = run("promote", "--route", "support", second, "--json")
    assert json.loads(result.stdout) == {
        "name": "support",
        "version": second,
        "alias": PRODUCTION,
        "moved": True,
        "forced": False,
    }
    assert shelf.aliases == {PRODUCTION: second, PREVIOUS: first}
    assert "Nothing was changed" in run("promote", "--route", "support", second).stdout
    assert "weir distill rollback" in run("promote", "--route", "support", first).stdout
    run("promote", "--route", "support", second)
    result = run("rollback", "--route", "support", "--reason", "it invents refunds")
    assert f"is {first} again" in result.stdout
    assert shelf.aliases[PRODUCTION] == first


def test_what_was_refused_is_promoted_only_by_force_and_with_a_reason(shelf: Shelf, run: Run) -> None:
    version = shelf.put("broken", passed=False)
    refused = run("promote", "--route", "support", version)
    assert refused.exit_code == 1
    assert "failed: quality" in refused.output
    assert "--force" in refused.output
    assert shelf.aliases == {}
    assert run("promote", "--route", "support", version, "--force").exit_code == 2
    assert run("promote", "--route", "support", version, "--force", "--reason", "ticket 13").exit_code == 0
    last = [*shelf.registry.log.entries(kind=STUDENT)][-1]
    assert (last.reason, "forced" in last.evidence) == ("ticket 13", True)


def test_a_canary_is_an_alias_of_its_own(shelf: Shelf, run: Run) -> None:
    version = shelf.put("first", passed=True)
    assert run("promote", "--route", "support", version, "--alias", CANARY).exit_code == 0
    assert shelf.aliases == {CANARY: version}
    assert run("promote", "--route", "support", CANARY).exit_code == 0
    assert shelf.aliases == {PRODUCTION: version}  # its trial is over


def test_the_first_one_can_be_withdrawn_and_so_can_a_canary(shelf: Shelf, run: Run) -> None:
    first, second = shelf.put("first", passed=True), shelf.put("second", passed=True)
    run("promote", "--route", "support", first)
    run("promote", "--route", "support", second, "--alias", CANARY)
    why = ("withdraw", "--route", "support", "--reason", "it invents refunds")
    assert f"weir distill promote --route support {first}\n" in run(*why).stdout
    assert shelf.aliases == {PREVIOUS: first, CANARY: second}
    (last,) = [entry for entry in shelf.registry.log.entries(kind=STUDENT) if entry.what == "drop"]
    assert last.reason == "it invents refunds"
    assert "Nothing was changed" in run(*why).stdout
    assert json.loads(run(*why, "--alias", CANARY, "--json").stdout) == {
        "name": "support",
        "alias": CANARY,
        "withdrawn": second,
        "moved": True,
    }
    assert shelf.aliases == {PREVIOUS: first}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("promote", "--route", "support", "0123456789abcdef"), 1),
        (("promote", "--route", "support", "no version"), 1),
        (("promote", "--route", "sales", "0123456789abcdef"), 2),
        (("promote", "--route", "apart", "0123456789abcdef"), 2),
        (("rollback", "--route", "support", "--reason", "x"), 1),
        (("rollback", "--route", "support"), 2),
        (("withdraw", "--route", "support"), 2),
        (("show", "support"), 1),
    ],
)
def test_what_is_not_there_is_told(run: Run, arguments: tuple[str, ...], status: int) -> None:
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    assert "''" not in result.output


def test_the_list_has_the_verdicts_and_what_is_in_force(shelf: Shelf, run: Run) -> None:
    assert "no students yet" in run("list").stdout
    good, bad, own = (
        shelf.put("good", passed=True),
        shelf.put("bad", passed=False),
        shelf.put("own", passed=True, owner="acme"),
    )
    run("promote", "--route", "support", good)
    rows = {row["version"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows[good] | {"reason": ""} == {
        "name": "support",
        "version": good,
        "verdict": "passed",
        "reason": "",
        "aliases": [PRODUCTION],
    }
    assert (rows[bad]["verdict"], rows[bad]["reason"], rows[bad]["aliases"]) == ("refused", "failed: quality", [])
    assert rows[own]["name"] == "apart/acme"
    table = run("list").stdout
    assert all(version in table for version in rows)


def test_the_card_is_that_of_production_or_else_of_the_last(shelf: Shelf, run: Run) -> None:
    first, second = shelf.put("first", passed=True), shelf.put("second", passed=False)
    assert "second" in run("show", "support").stdout
    run("promote", "--route", "support", first)
    assert f"Version `{first}`" in run("show", "support").stdout
    told = json.loads(run("show", "support", second, "--json").stdout)
    assert (told["version"], told["verdict"], told["card"]["summary"]) == (second, "refused", "second")


@pytest.mark.parametrize("verb", ["list", "show", "promote", "rollback", "withdraw"])
def test_help_has_an_example(verb: str) -> None:
    assert f"weir distill {verb}" in CliRunner().invoke(distill, [verb, "--help"]).stdout
