"""`weir eval gate` over two small runs: what it prints, writes and records, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
import yaml
from click.testing import CliRunner, Result

from evals.cases import Case
from evals.records import Answer, Manifest, Row, Score, ScorerFacts
from evals.run_folder import Results, begin
from registry.store import Registry
from weir.eval_gate import gate

AT = datetime(2026, 11, 1, tzinfo=UTC)
VERSION = "0123456789abcdef"
Gate = Callable[..., Result]


def run(folder: Path, good: dict[str, int], *, cut: int = 0, segment_size: int = 20) -> Path:
    """A run in which so many cases of each segment are answered well; the last `cut` are not answered yet."""
    cases = [
        Case(
            id=f"{segment}-{number}",
            messages=({"role": "user", "content": f"{segment} {number}?"},),
            expected={"facts": ["yes"]},
            segment=segment,
            cluster=f"{segment}-{number}",
            metadata={"lang": "en" if number % 2 else "es"},
        )
        for segment in good
        for number in range(segment_size)
    ]
    manifest = Manifest(
        suite="desk",
        suite_version="sha256:5",
        revision="1",
        target="small",
        target_version="t",
        config_hash=folder.name,
        request={},
        repeats=1,
        scorers={"facts": ScorerFacts(kind="contains_facts", version="1", binary=True)},
        quality="facts",
        groups=("lang",),
        margin=0.02,
        cases=len(cases),
        weir="0",
        started_at=AT,
    )
    begin(folder, manifest, cases)
    results = Results(folder)
    for case in cases[: len(cases) - cut]:
        number = int(case.id.rsplit("-", 1)[1])
        results.append(
            Row(
                key=case.id,
                case=case.id,
                segment=case.segment,
                cluster=case.cluster,
                at=AT,
                answer=Answer(text="yes", cost=Decimal("0.001"), latency_ms=100 + number),
                scores={"facts": Score(value=float(number < good[case.segment]))},
            )
        )
    results.close()
    return folder


def rules(folder: Path, **said: object) -> str:
    path = folder / "gate.yaml"
    path.write_text(yaml.safe_dump(said))
    return str(path)


@pytest.fixture
def weir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    run(tmp_path / "good", {"returns": 18, "hours": 18})
    run(tmp_path / "same", {"returns": 18, "hours": 18})
    run(tmp_path / "bad", {"returns": 18, "hours": 4})
    run(tmp_path / "half", {"returns": 18, "hours": 18}, cut=5)
    return lambda *arguments: CliRunner().invoke(gate, arguments)


def test_a_run_that_keeps_the_rules_passes(weir: Gate, tmp_path: Path) -> None:
    asked = rules(tmp_path, quality={"need": "not_worse", "margin": 0.2, "least": 0.8}, segments={"floor": 0.8})
    done = weir("same", "--baseline", "good", "--rules", asked)
    assert done.exit_code == 0, done.output
    assert done.stdout.rstrip().endswith("Passed: all 6 checks.")
    assert "2 of them" in done.stdout, "segments that passed are one row"
    assert not list(tmp_path.glob("*.xml")) + list(tmp_path.glob("*.md"))


def test_a_worse_run_is_refused_and_the_segment_named(weir: Gate, tmp_path: Path) -> None:
    asked = rules(tmp_path, segments={"most_fall": 0.3}, quality={"need": "not_worse"})
    done = weir("bad", "--baseline", "good", "--rules", asked)
    assert done.exit_code == 1
    assert "segment: hours." in done.stdout.splitlines()[-1]
    assert "returns" not in done.stdout.splitlines()[-1]
    words = [line.split()[0] for line in done.stdout.splitlines() if line.split()[:1] in (["failed"], ["passed"])]
    assert words == sorted(words)
    assert words[0] == "failed"


def test_the_verdict_is_written_for_machines_and_people(weir: Gate, tmp_path: Path) -> None:
    asked = rules(tmp_path, segments={"floor": 0.5})
    done = weir("bad", "--rules", asked, "--junit", "gate.xml", "--markdown", "gate.md", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["passed"], told["segments"], told["baseline"]) == (False, ["hours"], "")
    assert told["checks"][0]["segment"] == "hours"
    assert told["checks"][0]["value"] == pytest.approx(0.2)
    assert told["rules"] == {"segments": {"floor": 0.5}}
    assert fromstring((tmp_path / "gate.xml").read_bytes()).get("failures") == "1"
    assert "`hours`" in (tmp_path / "gate.md").read_text()


def test_githubs_summary_is_appended_to_unless_a_file_is_named(
    weir: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    asked = rules(tmp_path, cases={"at_least": 1})
    weir("good", "--rules", asked, "--markdown", "gate.md")
    assert page.read_text() == "before\n"
    weir("good", "--rules", asked)
    assert page.read_text().startswith("before\n### Gate passed")


def test_an_incomplete_run_or_baseline_is_refused(weir: Gate, tmp_path: Path) -> None:
    asked = rules(tmp_path, cases={"at_least": 1})
    done = weir("half", "--rules", asked)
    assert done.exit_code == 1
    assert "run.complete: all cases: 35 of 40 answers are there." in done.stdout
    assert "baseline.complete" in weir("good", "--baseline", "half", "--rules", asked).stdout.split("passed")[0]


def test_a_part_of_the_suite_is_not_let_through_for_the_whole(weir: Gate, tmp_path: Path) -> None:
    run(tmp_path / "part", {"returns": 18})
    asked = rules(tmp_path, quality={"need": "not_worse", "margin": 0.2})
    done = weir("part", "--baseline", "good", "--rules", asked)
    assert done.exit_code == 1
    assert "run.complete: all cases: 20 cases of the baseline were never asked." in done.stdout


def test_a_run_is_no_baseline_of_its_own(weir: Gate, tmp_path: Path) -> None:
    asked = rules(tmp_path, quality={"need": "not_worse", "margin": 0.2})
    went = weir("good", "--baseline", str(tmp_path / "good"), "--rules", asked)
    assert went.exit_code == 1
    assert "The baseline is the run itself" in went.output


def test_a_rule_that_compares_asks_for_a_baseline(weir: Gate, tmp_path: Path) -> None:
    done = weir("good", "--rules", rules(tmp_path, quality={"need": "better"}))
    assert done.exit_code == 1
    assert "give one with --baseline" in done.stdout


def test_runs_that_cannot_be_compared_are_refused_with_the_reason(weir: Gate, tmp_path: Path) -> None:
    run(tmp_path / "other", {"parcels": 20})
    done = weir("good", "--baseline", "other", "--rules", rules(tmp_path, quality={"need": "not_worse"}))
    assert done.exit_code == 1
    assert "no case in common" in " ".join(done.stdout.split())


def test_the_registry_keeps_the_verdict(weir: Gate, tmp_path: Path) -> None:
    done = weir("bad", "--rules", rules(tmp_path, segments={"floor": 0.5}), "--record", f"prompt/desk/en@{VERSION}")
    assert done.exit_code == 1, done.output
    (entry,) = Registry(tmp_path / "state/registry").log.entries(kind="prompt", name="desk/en")
    assert (entry.what, entry.version, entry.evidence["passed"]) == ("verdict", VERSION, False)
    assert entry.evidence["gate"]["segments"] == ["hours"]
    assert "hours" in entry.reason


def test_an_alias_is_recorded_as_the_version_it_names(weir: Gate, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "state/registry")
    version = registry.put("prompt", "desk", {"prompt.md": b"Be kind."}, {})
    registry.point("prompt", "desk", "canary", version, by="jane", reason="to try")
    asked = rules(tmp_path, cases={"at_least": 1})
    assert weir("good", "--rules", asked, "--record", "prompt/desk@canary").exit_code == 0
    assert [*registry.log.entries(kind="prompt", name="desk")][-1].version == version
    wrong = weir("good", "--rules", asked, "--record", "prompt/desk@latest")
    assert wrong.exit_code == 1
    assert "no alias 'latest'" in wrong.stderr


@pytest.mark.parametrize("record", ["prompt", "prompt/desk", "desk@1", "/desk@1", "prompt/@1", "prompt/desk@"])
def test_a_record_names_kind_name_and_version(weir: Gate, tmp_path: Path, record: str) -> None:
    done = weir("good", "--rules", rules(tmp_path, cases={"at_least": 1}), "--record", record)
    assert done.exit_code == 2
    assert "KIND/NAME@VERSION" in done.stderr


def test_what_cannot_be_read_or_written_is_told(weir: Gate, tmp_path: Path) -> None:
    asked = rules(tmp_path, cases={"at_least": 1})
    assert "holds no run" in weir("none", "--rules", asked).stderr
    assert "cannot be written" in weir("good", "--rules", asked, "--junit", "none/gate.xml").stderr
    assert "asks for nothing" in weir("good", "--rules", rules(tmp_path)).stderr
    run(tmp_path / "empty", {"returns": 1}, cut=20)
    assert "Resume it" in weir("empty", "--rules", rules(tmp_path, cases={"at_least": 1})).stderr
