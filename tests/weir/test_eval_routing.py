"""`weir eval routing`: a file of outcomes, a route of a configuration, a plot, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from distill.outcomes import Outcome, read_outcomes
from weir.eval_routing import routing

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models:
  large: {upstream: stand-in, price: {input: 1, output: 1}}
  small: {upstream: stand-in, price: {input: 0.1, output: 0.1}}
  other: {upstream: stand-in, price: {input: 0.1, output: 0.1}}
routes:
  cheap: {candidates: [large, small], policy: {kind: fixed, choose: small}}
  strange: {candidates: [other]}
tenants: {acme: {}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    Path("weir.yaml").write_text(CONFIG)
    lines = [
        {
            "query": f"question {place}",
            "cluster": str(place % 20),
            "outcomes": {
                "large": {"score": float(place % 10 > 0), "cost_usd": 0.01},
                "small": {"score": float(place % 10 > 4), "cost_usd": 0.001},
            },
        }
        for place in range(100)
    ]
    Path("outcomes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return lambda *arguments: CliRunner().invoke(routing, arguments)


def test_policies_are_shown_beside_models_chance_and_the_oracle(run: Run) -> None:
    shown = run("outcomes.jsonl", "--policy", "random:0.3")
    assert shown.exit_code == 0, shown.output
    assert "100 queries in 20 clusters; the reference is large, the cheapest small" in shown.stdout
    assert [line.split()[:3] for line in shown.stdout.splitlines() if line.strip().startswith("always")] == [
        ["always", "large", "0.900"],
        ["always", "small", "0.500"],
    ]


def test_a_route_decides_as_it_would_now(run: Run) -> None:
    found = json.loads(run("outcomes.jsonl", "--policy", "route:cheap", "--json").stdout)
    mine = found["policies"][0]
    assert (mine["policy"], mine["quality"]["value"], mine["reference_share"]) == ("route cheap", 0.5, 0)
    assert mine["cost"]["value"] == pytest.approx(0.001)
    assert mine["recall"]["value"] == 0


def test_a_file_of_choices_and_a_plot(run: Run) -> None:
    choices = [
        {"query": f"question {place}", "model": "large" if place % 10 < 5 else "small", "gain": -(place % 10)}
        for place in range(100)
    ]
    Path("choices.jsonl").write_text("\n".join(map(json.dumps, choices)))
    found = run("outcomes.jsonl", "--policy", "choices.jsonl", "--svg", "curve.svg", "--json")
    mine = json.loads(found.stdout)["policies"][0]
    assert mine["precision"]["value"] == pytest.approx(0.8)
    assert mine["recall"]["value"] == 1
    assert mine["apgr"] > 0.5
    assert Path("curve.svg").read_text().startswith("<svg")


def test_outcomes_are_written_for_a_router_to_learn_from(run: Run) -> None:
    assert run("outcomes.jsonl", "--outcomes", "learn.jsonl").exit_code == 0
    learned = read_outcomes(Path("learn.jsonl"))
    assert len(learned) == 200
    assert learned[0] == Outcome(query="question 0", model="large", score=0.0, cost_usd=0.01)
    assert "cannot be written" in run("outcomes.jsonl", "--outcomes", "missing/learn.jsonl").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("outcomes.jsonl", "--policy", "route:strange"), "of which no outcomes are recorded"),
        (("outcomes.jsonl", "--policy", "route:none"), "It may name:"),
        (("outcomes.jsonl", "--policy", "route:cheap", "--config", "none.yaml"), "none.yaml"),
        (("outcomes.jsonl", "--policy", "always:medium"), "there are some of large, small"),
        (("outcomes.jsonl", "--policy", "random:3"), "the share must be from 0 to 1"),
        (("outcomes.jsonl", "--policy", "what"), "neither always:MODEL"),
        (("outcomes.jsonl", "--reference", "medium"), "No outcomes are recorded of medium"),
        ((), "Give either OUTCOMES or --run"),
        (("--run", "large"), "must be MODEL=DIR"),
        (("--run", "large=a", "--run", "large=b"), "name it once"),
        (("outcomes.jsonl", "--svg", "none/curve.svg"), "none/curve.svg cannot be written"),
        (("--run", "large=nowhere", "--run", "small=nowhere"), "holds no run"),
    ],
)
def test_what_cannot_be_says_what_to_do(run: Run, arguments: tuple[str, ...], said: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code in (1, 2)
    assert said in " ".join(refused.output.replace("│", " ").split())
