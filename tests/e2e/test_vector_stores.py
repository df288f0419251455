"""Files and vector stores as a user has them: a real Weir, its encoder, its ingest child, the official client.

One Weir serves all of the tests: its start is most of what they cost. It has a store that is kept in step with a
folder beside those that clients make.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from openai import OpenAI
from reportlab.pdfgen.canvas import Canvas

from tests.e2e.running import RunningWeir, eventually, running_weir, write_config

RETURNS = b"""# Returns

Goods may be sent back within thirty days of their arrival.

## Refunds

Refunds are paid to the card that was charged, within a week.
"""
KETTLE = "The warranty on kettles covers thirty months from the invoice."
PARCEL = "Parcels travel by bicycle and reach the customer within nine days."
TOPICS = ("grinders", "kettles", "filters", "baskets", "cups", "scales", "beans", "brushes")


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder = tmp_path_factory.mktemp("stores")
    for store, file, text in (("kettles", "warranty.md", KETTLE), ("parcels", "deeper/ways.txt", PARCEL)):
        (folder / store / file).parent.mkdir(parents=True)
        (folder / store / file).write_text(text)
    config = write_config(folder, rag={"max_file_bytes": 100_000}, **declared("kettles"))
    with running_weir(config, folder / "state") as weir:
        yield weir


@pytest.fixture
def client(weir: RunningWeir) -> OpenAI:
    return weir.client()


def declared(*stores: str) -> dict[str, Any]:
    return {
        "models": {"any": {"upstream": "scripted", "price": {"input": "1", "output": "2"}}},
        "routes": {
            store: {"candidates": ["any"], "retrieval": {"stores": [store], "floor": 0}} for store in stores
        },
        "stores": {store: {"folder": store, "tenants": ["acme"], "look_seconds": 0.1} for store in stores},
    }


def pdf(*lines: str) -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file)
    for number, line in enumerate(lines):
        canvas.drawString(72, 760 - 20 * number, line)
    canvas.save()
    return file.getvalue()


def found(client: OpenAI, store_id: str, query: str) -> list[str]:
    return [result.filename for result in client.vector_stores.search(store_id, query=query)]


def test_what_is_uploaded_is_found_until_it_is_deleted(client: OpenAI) -> None:
    store = client.vector_stores.create(name="help")
    warranty = pdf("Warranty", "Grinders have a warranty of five years from the day of purchase.")
    returns = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("returns.md", RETURNS), attributes={"kind": "policy"}
    )
    paper = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("warranty.pdf", warranty), attributes={"kind": "paper"}
    )
    assert (returns.status, paper.status) == ("completed", "completed"), (returns.last_error, paper.last_error)
    (part,) = client.vector_stores.files.content(paper.id, vector_store_id=store.id)
    assert "five years from the day of purchase" in (part.text or "")
    assert found(client, store.id, "How long is the warranty of a grinder?")[0] == "warranty.pdf"
    (best, *_) = client.vector_stores.search(store.id, query="When are refunds paid?", max_num_results=1)
    assert (best.filename, best.attributes) == ("returns.md", {"kind": "policy"})
    assert "paid to the card" in best.content[0].text
    papers = client.vector_stores.search(
        store.id, query="money back", filters={"type": "eq", "key": "kind", "value": "paper"}
    )
    assert {result.filename for result in papers} <= {"warranty.pdf"}
    client.files.delete(paper.id)
    assert "warranty.pdf" not in found(client, store.id, "How long is the warranty of a grinder?")
    client.vector_stores.files.delete(returns.id, vector_store_id=store.id)
    assert found(client, store.id, "When do I get my money back?") == []
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(paper.id)


def test_what_cannot_be_read_says_why(client: OpenAI) -> None:
    store = client.vector_stores.create(name="broken")
    document = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("broken.pdf", b"%PDF-1.7 and nothing more")
    )
    assert document.status == "failed"
    assert document.last_error is not None
    assert document.last_error.code in ("unsupported_file", "invalid_file")
    assert document.last_error.message
    assert client.vector_stores.retrieve(store.id).file_counts.failed == 1


def test_a_batch_survives_the_death_of_what_ingests(weir: RunningWeir, client: OpenAI) -> None:
    store = client.vector_stores.create(name="catalogue")
    ids = [
        client.files.create(
            file=(f"{topic}.md", f"# All about {topic}\n\n".encode() + b"They are good, and made to last. " * 200),
            purpose="assistants",
        ).id
        for topic in TOPICS
    ]
    batch = client.vector_stores.file_batches.create(store.id, file_ids=ids)
    first = eventually(lambda: ingest_pid(weir), 30)
    eventually(lambda: counts_of(client, store.id)[0] >= 1, 30)
    os.kill(first, signal.SIGKILL)
    batch = client.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id, poll_interval_ms=100)
    assert (batch.status, batch.file_counts.completed) == ("completed", len(TOPICS))
    assert eventually(lambda: ingest_pid(weir)) != first
    assert {found(client, store.id, f"All about {topic}")[0] for topic in TOPICS} == {f"{t}.md" for t in TOPICS}


def test_an_upload_that_is_too_large_is_told_so(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("large.txt", b"x" * 3_000_000), purpose="assistants")
    assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
    assert client.files.create(file=("small.txt", b"x" * 100_000), purpose="assistants").bytes == 100_000


def test_a_declared_stores_files_answer_and_a_reload_brings_another(weir: RunningWeir) -> None:
    assert eventually(lambda: cited(weir, "kettles", KETTLE), 40)[0] == ("warranty.md", KETTLE)
    longer = KETTLE.replace("thirty", "forty")
    (weir.config.parent / "kettles/warranty.md").write_text(longer)
    eventually(lambda: ("warranty.md", longer) in cited(weir, "kettles", KETTLE), 40)
    changed = {**yaml.safe_load(weir.config.read_text()), **declared("kettles", "parcels")}
    weir.config.write_text(yaml.safe_dump(changed, sort_keys=False))
    assert eventually(lambda: cited(weir, "parcels", PARCEL), 40)[0] == ("deeper/ways.txt", PARCEL)


def cited(weir: RunningWeir, route: str, statement: str) -> list[tuple[str, str]]:
    """The files that an answer cites, with their quotes; none where nothing can be said yet."""
    body = {"model": route, "messages": [{"role": "user", "content": f"Is this right: {statement}"}]}
    status, answer = weir.send("POST", "/v1/chat/completions", "sk-weir-demo-acme", body)
    if status != 200:
        assert answer["error"]["code"] in ("not_found", "model_not_found", "retrieval_unavailable")
        return []
    notes = answer["choices"][0]["message"].get("annotations") or ()
    return [(note["file_citation"]["filename"], note["file_citation"]["quote"]) for note in notes]


def counts_of(client: OpenAI, store_id: str) -> tuple[int, int]:
    """Documents that are completed, and all."""
    counts = client.vector_stores.retrieve(store_id).file_counts
    return counts.completed, counts.total


def ingest_pid(weir: RunningWeir) -> int | None:
    """The child of this Weir that ingests; its own children, which read, are not meant."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == weir.process.pid and b"ingest" in folder.joinpath("cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    return None
