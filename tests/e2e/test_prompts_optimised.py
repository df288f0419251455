"""From a hasty prompt to a better one that serves: each step by its command, and what models get, byte for byte."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import dspy
import orjson
import pytest
import yaml

from evals.cases import Case
from evals.records import Answer
from evals.runner.plan import body_of
from evals.suite import read_suite
from prompts.optimise.adapter import BookAdapter
from prompts.optimise.catalogue import optimiser_of
from prompts.optimise.engine import reflecting
from prompts.optimise.feedback import Trials
from prompts.optimise.program import examples_of, program_of
from prompts.prompt import BookedPrompt, Demonstration, Section
from prompts.render import MergeRule
from prompts.writing import write_prompt
from router.upstreams.scripted_knowledge import Knowledge
from tests.e2e.recording_upstream import recording_upstream
from tests.e2e.running import ACME_HASH, ROOT, RunningWeir, environment, running_weir, write_config
from tests.prompts.optimise.plain_line import PlainLine, Tale, search_for

EXAMPLE = ROOT / "examples/support"
KEY = "sk-weir-demo-acme"
WITHIN_S = 240
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """What an optimisation of the example told, and what models got in its course and while its result served."""

    told: Row
    folder: Path
    served: Path
    prompt: str
    optimising: Sequence[bytes]
    serving: Sequence[bytes]

    @property
    def parts(self) -> Mapping[str, list[str]]:
        return dict(json.loads((self.folder / "search.json").read_bytes())["parts"])


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """A copy of the example, whose models are behind a wire that is watched."""
    folder = tmp_path_factory.mktemp("way")
    shutil.copytree(EXAMPLE, folder / "support")
    suite, out, served = folder / "support/suite", folder / "out", folder / "served"
    with recording_upstream(Knowledge.load(EXAMPLE / "knowledge.jsonl")) as upstream:
        config = behind(upstream.base_url, folder / "support/optimise.yaml")
        state = folder / "state"
        order = ["--optimiser", "gepa", "--budget-usd", "3", "--reflect-with", "support-editor", "--out", str(out)]
        where = ["--config", str(config), "--route", "support", "--suite", str(suite)]
        told = json.loads(weir(state, "prompts", "optimise", *where, *order, "--json"))
        optimising = tuple(upstream.bodies)
        upstream.bodies.clear()
        weir(state, "prompts", "promote", "support", told["version"], "--config", str(config))
        with running_weir(config, state) as server:
            prompt = ask(server)
            upstream.bodies.clear()
            address = {"WEIR_BASE_URL": f"{server.url}/v1", "WEIR_API_KEY": KEY}
            run = ["eval", "run", str(suite), "--target", "support", "--out", str(served), "--yes"]
            weir(folder / "elsewhere", *run, **address)
        yield Way(told, out, served, prompt, optimising, tuple(upstream.bodies))


def behind(base_url: str, config: Path) -> Path:
    """The example's configuration, with another address for its models, and a key for its tenant."""
    said = yaml.safe_load(config.read_text(encoding="utf-8"))
    said["upstreams"] = {"stand-in": {"kind": "openai", "base_url": base_url}}
    said["tenants"] = {"acme": {"keys": {"demo": {"hash": ACME_HASH}}}}
    config.write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
    return config


def weir(state: Path, *arguments: str, **variables: str) -> str:
    """Standard output of `weir ...`, which goes well."""
    done = subprocess.run(
        [sys.executable, "-m", "weir", *arguments],
        capture_output=True,
        text=True,
        env=environment(state, **variables),
        cwd=ROOT,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(server: RunningWeir) -> str:
    """The version of the prompt that a client's question is answered under."""
    reply = server.client().chat.completions.with_raw_response.create(
        model="support", messages=[{"role": "user", "content": "When will my coffee come?"}]
    )
    return str(reply.headers["x-weir-prompt"])


def rows(run: Path) -> dict[str, Row]:
    found = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    return {row["case"]: row for row in found}


def sent(bodies: Iterable[bytes]) -> Mapping[bytes, list[bytes]]:
    """The messages of requests as bytes, by what follows the system message."""
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for body in bodies:
        messages = orjson.loads(body)["messages"]
        if messages[0]["role"] == "system":
            found[orjson.dumps(messages[1:])].append(orjson.dumps(messages))
    return found


def asked(case: Case) -> bytes:
    return orjson.dumps(body_of(case, {})["messages"])


def test_what_passed_the_test_is_what_serves_once_it_is_promoted(way: Way) -> None:
    assert way.told["came_to"] == "passed"
    assert way.told["evidence"]["quality"]["low"] > 0
    assert Decimal(way.told["spent_usd"]) <= 3
    assert way.prompt == way.told["version"] != way.told["before"]


def test_served_cases_are_answered_and_scored_as_inside_the_optimiser(way: Way) -> None:
    inside, outside = rows(way.folder / "after"), rows(way.served)
    assert set(inside) == set(way.parts["test"])
    for case, row in inside.items():
        assert outside[case]["answer"]["text"] == row["answer"]["text"], case
        assert outside[case]["scores"] == row["scores"], case
        assert outside[case]["answer"]["evidence"]["prompt"] == way.told["version"]
    before = rows(way.folder / "before")
    rose = [case for case in inside if score(inside[case]) > score(before[case])]
    fell = [case for case in inside if score(inside[case]) < score(before[case])]
    print(f"{len(inside)} cases of the test: {len(rose)} rose, {len(fell)} fell, and all are served as tested")
    assert len(rose) > len(fell)


def score(row: Row) -> float:
    return float(row["scores"]["contains_facts"]["value"])


def test_models_get_the_same_bytes_from_the_server_as_from_the_search_and_the_test(way: Way) -> None:
    """The cases to choose by went through the optimiser's renderer, those of the test through the eval runner's."""
    optimising, serving, parts = sent(way.optimising), sent(way.serving), way.parts
    cases = {case.id: case for case in read_suite(EXAMPLE / "suite").cases}
    for case in (*parts["validation"], *parts["test"]):
        (served,) = serving[asked(cases[case])]
        assert served in optimising[asked(cases[case])], case
    systems = {orjson.loads(messages)[0]["content"] for found in serving.values() for messages in found}
    assert len(systems) == 1
    print(
        f"{len(parts['validation'])} + {len(parts['test'])} cases: the same bytes; {len(way.optimising)} requests"
    )


def test_the_cases_of_the_test_were_asked_in_the_two_runs_and_by_no_optimiser(way: Way) -> None:
    cases = {case.id: case for case in read_suite(EXAMPLE / "suite").cases}
    optimising = sent(way.optimising)
    for case in way.parts["test"]:
        assert len(optimising[asked(cases[case])]) == 2, case
    assert min(len(optimising[asked(cases[case])]) for case in way.parts["validation"]) > 2


# --- a client that has a system message of its own

RULES: tuple[MergeRule, ...] = get_args(MergeRule)
TURNS = (
    {"role": "system", "content": "Wir duzen: «du», never “Sie”. 😀"},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {"role": "user", "content": [{"type": "text", "text": "How much is it?"}], "name": "ann"},
    {"role": "system", "content": "She pays by card."},
    {"role": "user", "content": "And in\tfrancs?\n"},
)


def prompt_of(rule: MergeRule) -> BookedPrompt:
    return BookedPrompt(
        sections=(
            Section(name="who", text="You help the customers of {{ company }}.\n\n  - «indented»"),
            Section(name="law", text="Never lie.", locked=True),
        ),
        slots={"company": "Tolvana"},
        demonstrations=(Demonstration("Who are you?", '{{ company }}\'s "desk".'),),
        rule=rule,
    )


class Wire(PlainLine):
    """Keeps the messages of the last task call in the order in which they would be sent."""

    messages = b""

    def task(self, case: Case, messages: Sequence[Mapping[str, Any]], *more: Any, **named: Any) -> Answer:
        self.messages = orjson.dumps([*messages])
        return super().task(case, messages, *more, **named)


def optimiser_sends(prompt: BookedPrompt, case: Case) -> bytes:
    line = Wire()
    search = search_for(optimiser_of("gepa"), line, Tale(), prompt=prompt, slots={"company": "Café Ümbra"})
    program = program_of(prompt)
    program.set_lm(reflecting(line))
    with dspy.context(adapter=BookAdapter(search, Trials(search))):
        program(**examples_of([case])[0].inputs())
    return line.messages


def test_however_it_is_merged_the_server_sends_what_the_optimiser_sends(tmp_path: Path) -> None:
    for rule in RULES:
        suffix, text = write_prompt(prompt_of(rule))
        (tmp_path / f"{rule}{suffix}").write_text(text, encoding="utf-8")
    cases = [
        Case(id="own", messages=TURNS, expected={"facts": ["$8"]}, segment="", cluster="own", metadata={}),
        Case(id="none", messages=TURNS[2:3], expected={"facts": ["$8"]}, segment="", cluster="none", metadata={}),
    ]
    with recording_upstream() as upstream:
        config = write_config(
            tmp_path,
            upstreams={"hosted": {"kind": "openai", "base_url": upstream.base_url}},
            models={"good": {"upstream": "hosted", "name": "echo", "price": {"input": "1", "output": "4"}}},
            prompts={
                rule: {"file": f"{rule}.yaml", "merge": rule, "slots": {"company": "Café Ümbra"}} for rule in RULES
            },
            routes={rule: {"candidates": ["good"], "prompt": rule} for rule in RULES},
        )
        with running_weir(config, tmp_path / "state") as server:
            for rule in RULES:
                for case in cases:
                    upstream.bodies.clear()
                    messages: Any = [*case.messages]
                    reply = server.client().chat.completions.with_raw_response.create(model=rule, messages=messages)
                    assert reply.headers["x-weir-prompt"] == prompt_of(rule).version
                    (body,) = upstream.bodies
                    sends = optimiser_sends(prompt_of(rule), case)
                    assert orjson.dumps(orjson.loads(body)["messages"]) == sends, (rule, case.id)
