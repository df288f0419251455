"""Two tenants never see each other, over all endpoints of files and stores.

The property is non-interference: whatever two tenants do at one Weir, in whatever order and with each other's ids,
each gets, to the byte, what it would have got alone, where the other's ids are ones that never were.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.router.web.shelves import ACME, GLOBEX, NO_BATCH, NO_FILE, NO_STORE, Shelf, shelf_in

Operation = tuple[str, str]
NEVER = {"file_id": NO_FILE, "store": NO_STORE, "batch": NO_BATCH}
KIND = {"file": "file_id", "vector_store": "store", "vector_store.files_batch": "batch"}
MAKING: tuple[Operation, ...] = (
    ("POST", "/v1/files"),
    ("POST", "/v1/vector_stores"),
    ("POST", "/v1/vector_stores/{store}/file_batches"),
)
SEARCH: Operation = ("POST", "/v1/vector_stores/{store}/search")
NAMES = ("docs", "papers")
"""Of stores, for both tenants."""
_TIMES = re.compile(r'"(\w+_at)":("[^"]*"|\d+)')


@dataclass(frozen=True)
class Step:
    """`picks` choose among ids, `foreign` whether those are the other tenant's; `number` fills what is left."""

    key: str
    operation: Operation
    picks: tuple[int, int, int, int]
    foreign: tuple[bool, bool, bool, bool]
    number: int


@dataclass
class Tenant:
    """What it has made: ids in the order of making."""

    key: str
    ids: dict[str, list[str]] = field(default_factory=lambda: {"file_id": [], "store": [], "batch": []})
    answers: list[tuple[Operation, int, str]] = field(default_factory=list)


class World:
    """Tenants at one Weir. `alone`: only this key is heard."""

    def __init__(self, shelf: Shelf, alone: str | None = None) -> None:
        self._alone = alone
        self._shelf = shelf
        self._web = httpx.AsyncClient(transport=httpx.ASGITransport(shelf.app), base_url="http://weir")
        self.tenants = {key: Tenant(key) for key in (ACME, GLOBEX)}

    async def run(self, steps: list[Step]) -> None:
        async with self._web:
            for step in steps:
                if self._alone in (None, step.key):
                    await self._do(step)
                if step.number % 3 == 0:
                    await self._shelf.ingest()

    async def _do(self, step: Step) -> None:
        (method, path), me = step.operation, self.tenants[step.key]
        chosen = {kind: self._pick(step, place, kind) for place, kind in enumerate(NEVER)}
        if step.number % 4 == 1:
            chosen["store"] = NAMES[step.picks[1] % 2]
        also = self._pick(step, 3, "file_id")
        for kind, thing_id in chosen.items():
            path = path.replace(f"{{{kind}}}", thing_id)
        sent = self._sent(step, chosen["file_id"], also)
        headers = {"Authorization": f"Bearer {step.key}"}
        reply = await self._web.request(method, path, headers=headers, **sent)
        if step.operation in MAKING and reply.status_code == 200:
            made = reply.json()
            me.ids[KIND[made["object"]]].append(made["id"])
        me.answers.append((step.operation, reply.status_code, self._neutral(me, reply)))

    def _pick(self, step: Step, place: int, kind: str) -> str:
        other = next(tenant for key, tenant in self.tenants.items() if key != step.key)
        ids = (other if step.foreign[place] else self.tenants[step.key]).ids[kind]
        return ids[step.picks[place] % len(ids)] if ids else NEVER[kind]

    def _sent(self, step: Step, file_id: str, also: str) -> dict[str, Any]:
        """The body, or what is asked of a list."""
        secret = "acme" if step.key == ACME else "globex"
        text = f"The secret of {secret}, number {step.number}.\n\nRefunds are paid within {step.number} days."
        match step.operation:
            case ("POST", "/v1/files"):
                upload = {"file": (f"{step.number % 3}.md", text.encode())}
                return {"files": upload, "data": {"purpose": "assistants"}}
            case ("POST", "/v1/vector_stores"):
                return {"json": {"name": NAMES[step.number % 2], "file_ids": [also]}}
            case ("POST", "/v1/vector_stores/{store}"):
                return {"json": {"name": NAMES[step.number % 2], "metadata": {"of": secret}}}
            case ("POST", "/v1/vector_stores/{store}/files"):
                return {"json": {"file_id": also, "attributes": {"n": step.number}}}
            case ("POST", "/v1/vector_stores/{store}/files/{file_id}"):
                return {"json": {"attributes": {"n": step.number, "of": secret}}}
            case ("POST", "/v1/vector_stores/{store}/file_batches"):
                return {"json": {"file_ids": [file_id, also]}}
            case ("POST", "/v1/vector_stores/{store}/search"):
                return {"json": {"query": "the secret and its number, refunds"}}
            case ("GET", path) if not path.endswith("}") and step.number % 4 == 2:
                return {"params": {"limit": 2, "after": file_id}}
        return {}

    def _neutral(self, me: Tenant, reply: httpx.Response) -> str:
        """Without what differs from run to run. The other's ids and those that never were are the same."""
        text = _TIMES.sub(r'"\1":0', reply.text)
        for tenant in self.tenants.values():
            for kind, ids in tenant.ids.items():
                for place, thing_id in enumerate(ids):
                    text = text.replace(thing_id, f"{kind} {place}" if tenant is me else NEVER[kind])
        return text


async def operations() -> list[Operation]:
    """All that the pages have."""
    with tempfile.TemporaryDirectory() as folder:
        async with shelf_in(Path(folder)) as shelf:
            paths = shelf.app.openapi()["paths"]
            return sorted((method.upper(), path) for path, methods in paths.items() for method in methods)


OPERATIONS = asyncio.run(operations())


def own(key: str, operation: Operation, number: int) -> Step:
    return Step(key, operation, (number,) * 4, (False,) * 4, number)


FIRST = [own(key, operation, 0) for operation in MAKING for key in (ACME, GLOBEX)]
"""Both have files, stores and documents, of the same names."""
RAIDS = [Step(key, operation, (0,) * 4, (True,) * 4, 4) for operation in OPERATIONS for key in (ACME, GLOBEX)]
"""Each tries everything with what the other has."""
LOOKS = [operation for operation in OPERATIONS if operation[0] == "GET" or operation == SEARCH]

steps = st.builds(
    Step,
    st.sampled_from((ACME, GLOBEX)),
    st.sampled_from(OPERATIONS),
    st.tuples(*[st.integers(0, 3)] * 4),
    st.tuples(*[st.booleans()] * 4),
    st.integers(0, 11),
)


async def answers(steps: list[Step], alone: str | None = None) -> dict[str, Tenant]:
    with tempfile.TemporaryDirectory() as folder:
        async with shelf_in(Path(folder)) as shelf:
            world = World(shelf, alone)
            await world.run(steps)
            return world.tenants


def test_every_endpoint_is_tried() -> None:
    assert len(OPERATIONS) == 21
    assert set(MAKING) < set(OPERATIONS)


@settings(
    max_examples=3,
    phases=(Phase.reuse, Phase.generate),  # shrinking would take minutes
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.sampled_from((ACME, GLOBEX)), st.lists(steps, min_size=8, max_size=16))
def test_each_gets_what_it_would_get_alone(key: str, steps: list[Step]) -> None:
    program = [*FIRST, *RAIDS, *steps, *(own(key, operation, 4) for operation in LOOKS)]
    together = asyncio.run(answers(program))[key].answers
    assert ("globex" if key == ACME else "acme") not in "".join(text for _, _, text in together)
    alone = asyncio.run(answers(program, key))[key].answers
    for got, would_get in zip(together, alone, strict=True):
        assert got == would_get
