from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from sqlalchemy import select

from evals.targets.in_process import InProcessTarget
from evals.targets.port import TargetFailure
from evals.targets.prompts import PromptFile, PromptVersion
from ledger.database import Database, sqlite_url
from ledger.tables import usage_events
from prompts.prompt import BookedPrompt
from prompts.reading import read_prompt
from registry.prompts import PROMPT, promote, put
from registry.store import Registry
from router.config.load import load
from router.main import House
from tests.evals.targets.servers import HELLO

EXAMPLE = Path(__file__).parents[3] / "examples/support/weir.yaml"
CONFIG: Mapping[str, Any] = {
    "upstreams": {"scripted": {"kind": "scripted"}},
    "models": {
        "mirror": {"upstream": "scripted", "price": {"input": "1", "output": "2"}},
        "echo": {"upstream": "scripted", "price": {"input": "3", "output": "1"}},
        "stall": {"upstream": "scripted", "price": {"input": "0", "output": "0"}},
        "limited": {"upstream": "scripted", "name": "rate-limited-7", "price": {"input": "0", "output": "0"}},
    },
    "prompts": {"tone": {"file": "tone.md"}, "other": {"file": "tone.md"}},
    "routes": {
        "auto": {"candidates": ["mirror"], "prompt": "tone"},
        "two": {"candidates": ["mirror", "echo"]},
        "asleep": {"candidates": ["stall"]},
        "busy": {"candidates": ["limited"], "attempts": {"retries": 0}},
    },
    "tenants": {"acme": {}, "globex": {"routes": ["two"], "models": []}},
}


def config_in(folder: Path, **changes: Any) -> Path:
    (folder / "tone.md").write_text("Be brief.")
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return path


def target_in(folder: Path, model: str, **options: Any) -> InProcessTarget:
    path = options.pop("path", None) or config_in(folder)
    settings = {"state": folder / "state", "timeout_s": 20, **options}
    return InProcessTarget(model, load(path, {}), path, **settings)


@asynccontextmanager
async def started(folder: Path, model: str, **options: Any) -> AsyncIterator[InProcessTarget]:
    target = target_in(folder, model, **options)
    await target.start()
    try:
        yield target
    finally:
        await target.close()


async def events_in(state: Path) -> Sequence[Any]:
    """Purpose, tenant, key, route and cost of each."""
    database = Database(sqlite_url(state))
    columns = usage_events.c
    async with database.reading() as connection:
        query = select(columns.purpose, columns.tenant, columns.key_id, columns.route, columns.cost)
        rows = (await connection.execute(query)).all()
    await database.close()
    return rows


def system_prompts(answer_text: str) -> list[str]:
    return [turn["content"] for turn in orjson.loads(answer_text)["messages"] if turn["role"] == "system"]


async def test_a_route_answers_with_its_prompt_evidence_and_cost(tmp_path: Path) -> None:
    async with started(tmp_path, "auto") as target:
        answer = await target.ask(HELLO)
    assert system_prompts(answer.text) == ["Be brief."]
    assert (answer.model, answer.evidence["route"], answer.evidence["cache"]) == ("mirror", "auto", "bypass")
    assert answer.cost == Decimal(answer.prompt_tokens + 2 * answer.completion_tokens) / 1_000_000
    assert answer.latency_ms


async def test_the_example_answers_with_its_stand_in(tmp_path: Path) -> None:
    question = {"messages": [{"role": "user", "content": "Can I send my grinder back?"}]}
    async with started(tmp_path, "support", path=EXAMPLE) as target:
        answer = await target.ask(question)
        direct = await target.ask(question, model="support-small")
    assert "45 days" in answer.text
    assert (answer.model, direct.model, direct.evidence["route"]) == ("support-large", "support-small", "direct")


async def test_another_prompt_takes_the_place_of_the_configurations(tmp_path: Path) -> None:
    new = tmp_path / "new.md"
    new.write_text("Be long.")
    prompts = {"tone": PromptFile(new)}
    async with started(tmp_path, "auto", prompts=prompts) as target:
        assert system_prompts((await target.ask(HELLO)).text) == ["Be long."]
    assert target.name.startswith("auto (prompt tone=new.md@")
    assert target.version != target_in(tmp_path, "auto").version


async def test_a_rule_says_how_the_new_prompt_is_merged(tmp_path: Path) -> None:
    new = tmp_path / "new.md"
    new.write_text("Be long.")
    own = {"messages": [{"role": "system", "content": "Mine."}, *HELLO["messages"]]}
    async with started(tmp_path, "auto", prompts={"tone": PromptFile(new, "replace")}) as target:
        assert system_prompts((await target.ask(own)).text) == ["Be long."]
    assert target.version != target_in(tmp_path, "auto", prompts={"tone": PromptFile(new)}).version


@pytest.mark.parametrize(
    ("model", "prompt", "file", "says"),
    [
        ("auto", "tune", "tone.md", "no prompt 'tune' .* There are: tone, other"),
        ("auto", "other", "tone.md", "'auto' does not use the prompt 'other': its prompt is 'tone'"),
        ("two", "tone", "tone.md", "it has none"),
        ("mirror", "tone", "tone.md", "only routes have prompts"),
        ("auto", "tone", "absent.md", "absent.md cannot be used"),
        ("auto", "tone", "blank.md", "it is blank"),
    ],
)
def test_a_prompt_that_would_change_nothing_is_refused(
    tmp_path: Path, model: str, prompt: str, file: str, says: str
) -> None:
    (tmp_path / "blank.md").write_text(" ")
    with pytest.raises(TargetFailure, match=says) as caught:
        target_in(tmp_path, model, prompts={prompt: PromptFile(tmp_path / file)})
    assert caught.value.fatal


async def test_what_it_spends_is_in_the_real_ledger_as_an_eval(tmp_path: Path) -> None:
    async def spent(count: int) -> Decimal:
        async with started(tmp_path, "auto") as target:
            return sum([(await target.ask(HELLO)).cost or Decimal(0) for _ in range(count)], Decimal(0))

    told = sum(await asyncio.gather(spent(3), spent(2)), Decimal(0))
    rows = await events_in(tmp_path / "state")
    assert {row[:4] for row in rows} == {("eval", "acme", "weir/eval", "auto")}
    assert (len(rows), sum(row.cost for row in rows)) == (5, told)


async def test_a_weir_that_runs_ships_what_an_eval_spends(tmp_path: Path) -> None:
    path = config_in(tmp_path)
    house = House(load(path, {}), path, state=tmp_path / "state", bound_to="127.0.0.1")
    await house.open()
    try:
        async with started(tmp_path, "auto", path=path) as target:
            await target.ask(HELLO)
    finally:
        await house.close()
    assert len(await events_in(tmp_path / "state")) == 1


async def test_nothing_of_the_real_state_but_the_ledger_is_touched(tmp_path: Path) -> None:
    async with started(tmp_path, "auto") as target:
        await target.ask(HELLO)
    assert {found.name.partition("-")[0] for found in (tmp_path / "state").iterdir()} == {"spool", "weir.db"}


def test_it_deletes_no_events_whatever_its_configuration_says(tmp_path: Path) -> None:
    target = target_in(tmp_path, "auto", path=config_in(tmp_path, ledger={"keep_events_days": 1}))
    assert target._loaded.config.ledger.keep_events_days is None  # the deletion itself takes a day


async def test_its_own_folder_and_tasks_are_gone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    before = asyncio.all_tasks()
    async with started(tmp_path, "auto"):
        assert len(list((tmp_path / "temporary").iterdir())) == 1
    assert not list((tmp_path / "temporary").iterdir())
    assert asyncio.all_tasks() == before


BRIEF, LONG, SLOW = (BookedPrompt.plain(text, "prepend") for text in ("Be brief.", "Be long.", "Be slow."))


def promoted(folder: Path, prompt: BookedPrompt, alias: str = "production") -> Registry:
    registry = Registry(folder / "state" / "registry")
    put(registry, "tone", prompt.content, "test")
    promote(registry, "tone", BRIEF.content, prompt.version, alias=alias, by="test", reason="a test")
    return registry


async def test_what_was_promoted_is_found_and_counts(tmp_path: Path) -> None:
    before = target_in(tmp_path, "auto").version
    promoted(tmp_path, LONG)
    async with started(tmp_path, "auto") as target:
        assert target.version != before
        assert system_prompts((await target.ask(HELLO)).text) == ["Be long."]


async def test_nothing_that_is_promoted_meanwhile_is_taken_up(tmp_path: Path) -> None:
    path = config_in(tmp_path, prompts={"tone": {"file": "tone.md", "canary_share": 1}})
    async with started(tmp_path, "auto", path=path) as target:
        registry = promoted(tmp_path, LONG)
        promoted(tmp_path, SLOW, "canary")
        assert system_prompts((await target.ask(HELLO)).text) == ["Be brief."]
        registry.rollback(PROMPT, "tone", "test", "a test")
        assert system_prompts((await target.ask(HELLO)).text) == ["Be brief."]


async def test_a_stored_version_or_a_prompt_itself_takes_the_place_of_the_configurations(tmp_path: Path) -> None:
    promoted(tmp_path, LONG, "canary")
    for asked in (PromptVersion("canary"), PromptVersion(LONG.version), LONG):
        async with started(tmp_path, "auto", prompts={"tone": asked}) as target:
            assert system_prompts((await target.ask(HELLO)).text) == ["Be long."]
        assert target.name == f"auto (prompt tone@{LONG.version})"
    written = read_prompt(tmp_path / "tone.md", "prepend").version
    for asked in (PromptVersion("file"), PromptVersion(written)):
        assert target_in(tmp_path, "auto", prompts={"tone": asked}).name == f"auto (prompt tone@{written})"
    (tmp_path / "tone.md").write_text("Edited, and stored nowhere.")
    edited = target_in(tmp_path, "auto", path=tmp_path / "weir.yaml", prompts={"tone": PromptVersion("file")})
    assert written not in edited.name
    for absent in ("0" * 16, "staging"):
        with pytest.raises(
            TargetFailure, match=rf"The prompt tone@{absent} cannot be used: .* no .*{absent}"
        ) as caught:
            target_in(tmp_path, "auto", prompts={"tone": PromptVersion(absent)})
        assert caught.value.fatal


async def test_messages_that_are_rendered_already_go_as_they_are(tmp_path: Path) -> None:
    body = LONG.filled().apply(HELLO, "chat/completions")
    async with started(tmp_path, "auto", purpose="optimise") as target:
        answer = await target.ask(body, rendered=LONG.version)
        assert orjson.loads(answer.text)["messages"] == body["messages"]
        assert answer.evidence["prompt"] == LONG.version
        assert system_prompts((await target.ask(HELLO)).text) == ["Be brief."]
    assert {row.purpose for row in await events_in(tmp_path / "state")} == {"optimise"}


async def test_a_tenants_own_prompt_can_be_replaced_for_it_alone(tmp_path: Path) -> None:
    path = config_in(tmp_path, tenants={"acme": {}, "globex": {"prompts": {"auto": "other"}}})
    async with started(tmp_path, "auto", path=path, tenant="globex", prompts={"other": LONG}) as target:
        assert system_prompts((await target.ask(HELLO)).text) == ["Be long."]
    with pytest.raises(TargetFailure, match="does not use the prompt 'tone': its prompt is 'other'"):
        target_in(tmp_path, "auto", path=path, tenant="globex", prompts={"tone": LONG})


async def test_events_for_a_database_that_is_away_wait_where_the_next_weir_finds_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("asyncpg")
    caplog.set_level(logging.CRITICAL)
    path = config_in(tmp_path, ledger={"url": "${LEDGER}"})
    loaded = load(path, {"LEDGER": "postgresql://nobody@127.0.0.1:1/weir"})
    target = InProcessTarget("auto", loaded, path, state=tmp_path / "state", timeout_s=20)
    await target.start()
    await target.ask(HELLO)
    await target.close()
    other = target_in(tmp_path, "auto", path=config_in(tmp_path))
    with pytest.raises(TargetFailure, match=r"wait for a database that .* does not name"):
        await other.start()
    waiting = b"".join(file.read_bytes() for file in (tmp_path / "state" / "spool").iterdir())
    assert waiting.count(b'"purpose":"eval"') == 1


async def test_a_fresh_answer_is_neither_taken_from_the_cache_nor_left_there(tmp_path: Path) -> None:
    async with started(tmp_path, "auto") as target:
        kinds = [(await target.ask(HELLO, fresh=fresh)).evidence["cache"] for fresh in (True, False, False, True)]
    assert kinds == ["bypass", "miss", "exact", "bypass"]


async def test_an_unknown_name_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        TargetFailure, match=r"'acme' may name no .*'nope'.* asleep, auto, busy, two, echo"
    ) as caught:
        await target_in(tmp_path, "nope").start()
    assert caught.value.fatal


async def test_a_tenant_asks_only_for_what_it_may(tmp_path: Path) -> None:
    with pytest.raises(TargetFailure, match="It may name: two"):
        await target_in(tmp_path, "auto", tenant="globex").start()
    with pytest.raises(TargetFailure, match=r"no tenant 'nobody'\. There are: acme, globex"):
        await target_in(tmp_path, "auto", tenant="nobody").start()
    async with started(tmp_path, "two", tenant="globex") as target:
        with pytest.raises(TargetFailure) as caught:
            await target.ask(HELLO, model="echo")
    assert (caught.value.code, caught.value.fatal) == ("model_not_found", True)


async def test_a_limit_upstream_slows_everybody_down(tmp_path: Path) -> None:
    async with started(tmp_path, "busy") as target:
        with pytest.raises(TargetFailure) as caught:
            await target.ask(HELLO)
    failure = caught.value
    assert (failure.code, failure.retryable, failure.slow_down) == ("upstream_rate_limited", True, True)
    assert failure.retry_after_s == 7


async def test_a_request_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    async with started(tmp_path, "asleep", timeout_s=0.2) as target:
        with pytest.raises(TargetFailure) as caught:
            await target.ask(HELLO)
    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


async def test_a_spent_budget_ends_the_run(tmp_path: Path) -> None:
    path = config_in(tmp_path, budgets={"tiny": {"usd": "0.000001", "per": "day"}})
    async with started(tmp_path, "auto", path=path) as target:
        with pytest.raises(TargetFailure, match="Raise the budget") as caught:
            for _ in range(3):
                await target.ask(HELLO)
    assert (caught.value.code, caught.value.fatal) == ("insufficient_quota", True)


async def test_a_wrong_request_is_told_and_is_not_the_end(tmp_path: Path) -> None:
    async with started(tmp_path, "auto") as target:
        with pytest.raises(TargetFailure, match="messages") as caught:
            await target.ask({"messages": []})
    assert (caught.value.code, caught.value.retryable, caught.value.fatal) == ("invalid_request", False, False)


def test_a_route_has_the_price_of_its_dearest_candidate(tmp_path: Path) -> None:
    price = target_in(tmp_path, "two").price()
    assert price is not None
    assert (price.cost(1_000_000, 0), price.cost(0, 1_000_000)) == (3, 2)
    other = target_in(tmp_path, "two").price("mirror")
    assert other is not None
    assert other.cost(1_000_000, 0) == 1
    assert target_in(tmp_path, "two").price("nope") is None


def test_a_model_that_is_marked_as_unpriced_has_no_price(tmp_path: Path) -> None:
    models = {**CONFIG["models"], "echo": {"upstream": "scripted"}}
    path = config_in(tmp_path, models=models, ledger={"unpriced": "mark"})
    target = target_in(tmp_path, "two", path=path)
    assert target.price() is None
    assert target.price("echo") is None


def test_a_configuration_without_a_price_it_needs_says_so(tmp_path: Path) -> None:
    path = config_in(tmp_path, models={**CONFIG["models"], "echo": {"upstream": "scripted"}})
    with pytest.raises(TargetFailure, match=r"models\.echo") as caught:
        target_in(tmp_path, "two", path=path).price()
    assert caught.value.fatal


async def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    path = config_in(tmp_path, models={**CONFIG["models"], "echo": {"upstream": "scripted"}})
    with pytest.raises(TargetFailure, match=r"weir.yaml cannot be put to work: models.echo") as caught:
        await target_in(tmp_path, "two", path=path).start()
    assert caught.value.fatal


def test_versions_follow_what_changes_answers(tmp_path: Path) -> None:
    first = target_in(tmp_path, "auto").version
    assert target_in(tmp_path, "auto").version == first
    assert target_in(tmp_path, "two").version != first
    assert target_in(tmp_path, "auto", tenant="globex").version != first
    (tmp_path / "state").mkdir()
    path = config_in(tmp_path)
    (tmp_path / "tone.md").write_text("Be kind.")
    assert target_in(tmp_path, "auto", path=path).version != first


def test_a_stand_in_is_another_target_than_what_it_stands_in_for(tmp_path: Path) -> None:
    options: dict[str, Any] = {"state": tmp_path, "timeout_s": 1}
    without = InProcessTarget("support", load(EXAMPLE, {}), EXAMPLE, **options)
    hosted = InProcessTarget("support", load(EXAMPLE, {"OPENAI_API_KEY": "sk-x"}), EXAMPLE, **options)
    assert without.version != hosted.version
