"""A document is deleted while clients ask: nothing cites it any more, and all other answers stay in the cache."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import httpx
import orjson

from contracts.sse import payloads
from tests.e2e.running import RunningWeir, eventually, running_weir, write_config

KEY = "sk-weir-demo-acme"
TOPICS = {
    "parcels": "Parcels travel by bicycle and reach the customer within nine days.",
    "warranty": "The warranty on kettles covers thirty months from the invoice.",
    "vouchers": "Vouchers expire on the last evening of their second winter.",
    "repairs": "Repairs happen in the Rotterdam workshop every second Thursday.",
}
CLIENTS = 10
GONE = "parcels"


class Told(NamedTuple):
    topic: str
    asked_at: float
    new: bool
    """A question that was not asked before this moment."""
    verdict: str
    cited: frozenset[str]


def question(topic: str, variant: int | None = None) -> str:
    asked = f"Is this right: {TOPICS[topic]}"
    return asked if variant is None else f"{asked} (note {variant})"


@contextmanager
def library_in(folder: Path) -> Iterator[tuple[RunningWeir, httpx.Client, str, dict[str, str]]]:
    """A Weir with one document for each topic in a store `help`; the store's id, and file ids by topic."""
    config = write_config(
        folder,
        models={"any": {"upstream": "scripted", "price": {"input": "1", "output": "2"}}},
        routes={"help": {"candidates": ["any"], "retrieval": {"stores": ["help"], "most": 1, "floor": 0}}},
    )
    with running_weir(config, folder / "state", workers=2) as weir:
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=f"{weir.url}/v1", headers=headers, timeout=30) as client:
            files = {
                topic: client.post(
                    "/files", data={"purpose": "assistants"}, files={"file": (f"{topic}.md", text.encode())}
                ).json()["id"]
                for topic, text in TOPICS.items()
            }
            store = client.post("/vector_stores", json={"name": "help", "file_ids": list(files.values())}).json()[
                "id"
            ]
            place = f"/vector_stores/{store}"
            eventually(lambda: client.get(place).json()["file_counts"]["completed"] == len(files), 30)
            yield weir, client, store, files


def ask(client: httpx.Client, topic: str, variant: int | None, *, stream: bool) -> Told:
    body = {"model": "help", "messages": [{"role": "user", "content": question(topic, variant)}], "stream": stream}
    asked_at = time.monotonic()
    response = client.post("/chat/completions", json=body)
    assert response.status_code == 200, response.text
    verdict, cited = response.headers["x-weir-cache"], frozenset(_cited(response.content, stream))
    return Told(topic, asked_at, variant is not None, verdict, cited)


def _cited(content: bytes, stream: bool) -> Iterator[str]:
    parts: Sequence[Any] = [content] if not stream else [each for each in payloads(content) if each != b"[DONE]"]
    for part in parts:
        for choice in orjson.loads(part)["choices"]:
            said = choice["delta" if stream else "message"]
            yield from (note["file_citation"]["file_id"] for note in said.get("annotations") or ())


def asks_on(weir: RunningWeir, over: Event, seed: int) -> list[Told]:
    """One client: questions that are answered already, and new ones that several ask at a time."""
    drawn, told = random.Random(seed), []
    with httpx.Client(base_url=f"{weir.url}/v1", headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
        while not over.is_set():
            topic = drawn.choice(list(TOPICS))
            variant = int(time.monotonic() * 4) if drawn.random() < 0.3 else None
            told.append(ask(client, topic, variant, stream=drawn.random() < 0.5))
    return told


def all_stored(weir: RunningWeir) -> bool:
    """At the worker that a new connection leads to."""
    with httpx.Client(base_url=f"{weir.url}/v1", headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
        return all(ask(client, topic, None, stream=False).verdict == "exact" for topic in TOPICS)


def test_no_later_answer_cites_it_and_others_stay_in_the_cache(tmp_path: Path) -> None:
    """Neither at the worker that deleted it, nor at the other one."""
    with library_in(tmp_path) as (weir, client, store, files):
        eventually(lambda: all(all_stored(weir) for _ in range(8)))
        over = Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(asks_on, weir, over, seed) for seed in range(CLIENTS)]
            time.sleep(0.5)
            assert client.delete(f"/vector_stores/{store}/files/{files[GONE]}").status_code == 200
            deleted_at = time.monotonic()
            time.sleep(0.5)
            over.set()
            told = [each for asked in asking for each in asked.result()]
    before = [each for each in told if each.topic == GONE and each.asked_at < deleted_at]
    after = [each for each in told if each.asked_at > deleted_at]
    assert any(files[GONE] in each.cited for each in before)
    assert {each.topic for each in after} == set(TOPICS)
    assert not [each for each in after if files[GONE] in each.cited]
    others = [each for each in told if each.topic != GONE]
    assert {file for each in others for file in each.cited} == {files[topic] for topic in TOPICS if topic != GONE}
    kept = [each.verdict for each in told if each.topic != GONE and not each.new]
    assert set(kept) == {"exact"}
    assert len(kept) > CLIENTS
