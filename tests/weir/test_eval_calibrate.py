"""`weir eval calibrate` against a provider whose judge errs as often as was planted."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from evals.calibration import read_calibrations
from evals.records import Answer
from evals.scorers.catalogue import scorer_of
from evals.scorers.port import Instruments
from evals.statistics.judged import corrected, judge_of
from evals.statistics.rates import rate_of
from evals.suite import read_suite
from evals.targets.spec import TargetSpec, open_target
from weir.eval import eval as eval_verbs

SENSITIVITY, SPECIFICITY = 0.9, 0.75
HEAD = """
name: tiny
description: One question.
scorers:
  - {kind: judge, model: the-judge, rubric: Names the price.}
  - {kind: pairwise, name: versus, model: the-judge}
  - contains_facts
quality: judge
"""
CASES = "".join(
    json.dumps({"id": name, "input": f"How much? {name}", "expected": {"facts": ["$12"], "reference": "$12"}})
    + "\n"
    for name in ("a", *map(str, range(299)))
)


def right(answer: str, share: float) -> bool:
    """Whether the planted judge is right about an answer: by its hash, so always the same."""
    return int.from_bytes(hashlib.blake2b(answer.encode(), digest_size=4).digest()) / 2**32 < share


def says_good(answer: str) -> bool:
    """What the planted judge says: "$12" is what makes an answer good."""
    good = "$12" in answer
    return good if right(answer, SENSITIVITY if good else SPECIFICITY) else not good


async def judge(request: web.Request) -> web.Response:
    body = await request.json()
    answer = json.loads(body["messages"][1]["content"])["answer"]["text"]
    text = json.dumps({"reason": "so it is", "pass": says_good(answer)})
    if "mumbles" in answer:
        text = "Hm."
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return web.json_response(
        {
            "id": "1",
            "object": "chat.completion",
            "model": "the-judge-2026-08-01",
            "choices": [choice],
            "usage": usage,
        }
    )


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "the-judge", "object": "model"}]})


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Its base URL. It has a thread of its own, since the verb has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", judge), web.get("/v1/models", models)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "suite.yaml").write_text(HEAD, encoding="utf-8")
    (folder / "cases.jsonl").write_text(CASES, encoding="utf-8")
    return folder


def written(folder: Path, labels: list[dict[str, Any]]) -> Path:
    path = folder.parent / "labels.jsonl"
    path.write_text("".join(json.dumps(label) + "\n" for label in labels), encoding="utf-8")
    return path


def planted(count: int = 200) -> list[dict[str, Any]]:
    """Answers that people labelled rightly, half of them good."""
    return [
        {"case": "a", "answer": f"It costs {'$12' if at % 2 else '$13'}, says number {at}.", "good": bool(at % 2)}
        for at in range(count)
    ]


def calibrate(suite: Path, labels: list[dict[str, Any]], provider: str, *more: str, name: str = "judge") -> Result:
    where = ["--labels", str(written(suite, labels)), "--base-url", provider]
    return CliRunner().invoke(eval_verbs, ["calibrate", str(suite), "--scorer", name, *where, *more])


def test_the_planted_error_rates_come_out(suite: Path, provider: str, tmp_path: Path) -> None:
    labels = planted()
    kinds = [[says_good(label["answer"]) for label in labels if label["good"] is good] for good in (True, False)]
    aside = tmp_path / "aside.jsonl"
    price = ("--price", "input=1,output=10")
    result = calibrate(suite, labels, provider, "--json", "--disagreements", str(aside), *price)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    counts = told["calibration"]
    assert (counts["good_called_good"], counts["good_called_bad"]) == (sum(kinds[0]), 100 - sum(kinds[0]))
    assert (counts["bad_called_good"], counts["bad_called_bad"]) == (sum(kinds[1]), 100 - sum(kinds[1]))
    assert told["sensitivity"]["low"] < SENSITIVITY < told["sensitivity"]["high"]
    assert told["specificity"]["low"] < SPECIFICITY < told["specificity"]["high"]
    assert float(told["cost"]) == pytest.approx(200 * 0.0002)
    assert counts["judge"] == "the-judge-2026-08-01"
    assert any("the-judge-2026-08-01" in note for note in told["notes"]), "it is not pinned"
    apart = [json.loads(line) for line in aside.read_text(encoding="utf-8").splitlines()]
    assert len(apart) == len(told["disagreements"]) == 100 - sum(kinds[0]) + sum(kinds[1])
    assert all(says_good(one["answer"]) != one["good"] for one in apart)


def test_it_is_kept_for_runs_of_this_very_judge(suite: Path, provider: str) -> None:
    assert calibrate(suite, planted(), provider).exit_code == 0
    kept = read_calibrations(suite)["judge"]
    settings = read_suite(suite).scorers[0]
    assert kept.version == scorer_of(settings, Instruments(ask=no_vectors, encode=no_vectors)).version


async def test_the_corrected_rate_covers_the_truth_where_the_raw_one_does_not(suite: Path, provider: str) -> None:
    labels = written(suite, planted())
    command = ["calibrate", str(suite), "--scorer", "judge", "--labels", str(labels), "--base-url", provider]
    assert (await asyncio.to_thread(CliRunner().invoke, eval_verbs, command)).exit_code == 0
    read = read_suite(suite)
    async with open_target(TargetSpec(target="the-judge", base_url=provider)) as target:

        async def ask(body: Mapping[str, Any]) -> Answer:
            return await target.ask({name: value for name, value in body.items() if name != "model"})

        scorer = scorer_of(read.scorers[0], Instruments(ask=ask, encode=no_vectors))
        truth = 0.4
        answers = [f"Number {at} costs {'$12' if at % 10 < 4 else '$13'}." for at in range(400)]
        scores = [(await scorer.score(read.cases[0], Answer(text=text))).value for text in answers]
    raw = rate_of(scores, [str(at) for at in range(400)], binary=True, level=0.95)
    assert not raw.low <= truth <= raw.high
    found = judge_of(read_calibrations(suite)["judge"])
    assert found is not None
    right_one = corrected(raw, found, 0.95)
    assert right_one is not None
    assert right_one.low < truth < right_one.high


def no_vectors(_: Any) -> Any:
    raise AssertionError("a judge needs no encoder")


def test_people_read_what_it_means(suite: Path, provider: str) -> None:
    labels = planted(60)
    labels = [label | {"rater": "ann"} for label in labels]
    labels += [label | {"rater": "bob", "good": label["good"] or at < 4} for at, label in enumerate(labels)]
    labels.append({"case": "a", "answer": "It mumbles $12.", "good": True, "rater": "ann"})
    result = calibrate(suite, labels, provider)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    for words in ("people: good", "sensitivity", "specificity", "kappa", "ann and bob: 0.9", "more labels"):
        assert words in text
    assert "people are split were left out (2)" in text
    assert "not be judged were left out (1)" in text
    assert "fewer than 30 of a kind" in text
    assert "calibrations/judge.json" in result.stderr


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("versus", "compares two answers"),
        ("contains_facts", "asks no model"),
        ("nope", "no scorer 'nope'; it has judge"),
    ],
)
def test_only_a_judge_of_single_answers_is_calibrated(suite: Path, provider: str, name: str, advice: str) -> None:
    result = calibrate(suite, planted(4), provider, name=name)
    assert result.exit_code == 1
    assert advice in result.output
    assert not (suite / "calibrations").exists()


def test_wrong_labels_are_told_before_anything_is_asked(suite: Path) -> None:
    result = calibrate(suite, [{"case": "b", "answer": "x", "good": True}], "http://127.0.0.1:9/v1")
    assert result.exit_code == 1
    assert "labels.jsonl:1: case: the suite has no case 'b'" in result.output


def test_a_judge_that_is_pinned_to_another_snapshot_stops_it(suite: Path, provider: str) -> None:
    head = HEAD.replace("model: the-judge,", "model: the-judge, pinned: the-judge-2026-01-01,", 1)
    (suite / "suite.yaml").write_text(head, encoding="utf-8")
    result = calibrate(suite, planted(40), provider)
    assert result.exit_code == 1
    assert "answered as the-judge-2026-08-01, and not as the-judge-2026-01-01" in result.output
    assert not (suite / "calibrations").exists()


def test_a_server_that_is_not_there_is_told(suite: Path) -> None:
    result = calibrate(suite, planted(4), "http://127.0.0.1:9/v1")
    assert result.exit_code == 1
    assert "127.0.0.1:9" in result.output
