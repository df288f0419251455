"""A store in step with a folder: what is new, changed and gone, prepared and then taken over in one step.

Killed at any moment, the store is what it was, or what it should be. A file that cannot be read is told and the
others go in; its old version stays, since a document does not vanish because its new version is broken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field

from contracts.errors import NotFound, StoreFull
from contracts.retrieval import Attributes, Store
from rag.ingesting.cutting import Cut, chunker_of
from rag.ingesting.embedding import AT_ONCE
from rag.ingesting.preparing import Made, Workshop
from rag.ingesting.scanning import Entry, Scan, read_whole, scan, unfit
from rag.ports import Holding, Limits, Put, Storage, StoreChanged, digest_of
from rag.reading.text import Unreadable

_TRIES = 5
_AHEAD = 64  # documents that are read before they are encoded


class Wanted(Struct, frozen=True, kw_only=True):
    """A document that a store is to have, in place of `replaces`."""

    filename: str
    content: bytes
    updated_at: datetime
    replaces: str = ""
    attributes: Attributes = {}


class Plan(Struct, frozen=True, kw_only=True):
    """What brings a store of `revision` in step. `failures` are advice by filename."""

    revision: int
    new: tuple[Wanted, ...] = ()
    changed: tuple[Wanted, ...] = ()
    gone: tuple[Holding, ...] = ()
    unchanged: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.changed or self.gone)


class Progress(Struct, frozen=True, kw_only=True):
    """How far it is. `chunks` are of the documents that were read so far."""

    read: int
    documents: int
    encoded: int
    chunks: int


Tell = Callable[[Progress], None]


class Synced(Struct, frozen=True, kw_only=True):
    """The store after the step, what was planned, and how many chunks were put in and vectors computed for them."""

    store: Store
    plan: Plan
    failures: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]
    chunks: int = 0
    computed: int = 0


async def plan_of(
    storage: Storage,
    tenant: str,
    store: Store | None,
    found: Scan,
    *,
    encoder: str,
    chunker: str,
    limits: Limits | None = None,
    only_add: bool = False,
) -> Plan:
    """Compares the files with what the store holds: by content, and by what made the documents. With `only_add`
    nothing that is not among the files leaves the store. Raises StoreFull where what would go in is more than a
    tenant may keep."""
    limits = limits or Limits()
    held, strangers = _parted(await storage.holdings(tenant, store.id) if store else (), found)
    new: list[Wanted] = []
    changed: list[Wanted] = []
    failures: dict[str, str] = {}
    unchanged = taken = 0
    for filename, entry in found.entries.items():
        if advice := unfit(entry, limits.file_bytes):
            failures[filename] = advice
            continue
        try:
            content = await asyncio.to_thread(read_whole, entry, limits.file_bytes)
        except OSError as error:
            failures[filename] = f"It cannot be read: {error.strerror or error}."
            continue
        if (there := held.get(filename)) is None:
            new.append(_wanted(entry, content))
        elif (
            there.status == "completed"
            and (there.encoder, there.chunker) == (encoder, chunker)
            and there.digest == digest_of(content)
        ):
            unchanged += 1
            continue
        else:
            changed.append(_wanted(entry, content, replaces=there.file_id))
        taken += len(content)
        if taken > limits.tenant_bytes:
            raise StoreFull(
                f"These files have more than {limits.tenant_bytes:,} bytes, the most that is kept for a tenant "
                "(rag.max_tenant_bytes): take some out, or raise the bound."
            )
    return Plan(
        revision=store.state.revision if store else 0,
        new=tuple(new),
        changed=tuple(changed),
        gone=() if only_add else tuple(strangers),
        unchanged=unchanged,
        failures=failures,
        left_out=found.left_out,
    )


def _parted(holdings: Sequence[Holding], found: Scan) -> tuple[dict[str, Holding], list[Holding]]:
    """By filename those that are among the files; and the others, a second one of a name too."""
    held: dict[str, Holding] = {}
    strangers: list[Holding] = []
    for holding in holdings:
        if holding.filename in held or holding.filename not in found.entries:
            strangers.append(holding)
        else:
            held[holding.filename] = holding
    return held, strangers


def _wanted(entry: Entry, content: bytes, replaces: str = "") -> Wanted:
    return Wanted(filename=entry.filename, content=content, updated_at=entry.updated_at, replaces=replaces)


async def sync(
    storage: Storage,
    workshop: Workshop,
    tenant: str,
    store_name: str,
    folder: Path,
    *,
    limits: Limits,
    tell: Tell = lambda _: None,
) -> Synced:
    """Bring a store in step with a folder; the store is there.

    Raises FolderUnusable, NotFound, StoreFull, RetrievalUnavailable, and StoreChanged where it changes faster than
    it can be planned for."""

    async def plan(store: Store) -> Plan:
        return await plan_of(
            storage,
            tenant,
            store,
            await asyncio.to_thread(scan, folder),
            encoder=workshop.embedding.version,
            chunker=workshop.reading.chunker(None),
            limits=limits,
        )

    return await carry_out(storage, workshop, tenant, store_name, plan, limits=limits, tell=tell)


async def carry_out(
    storage: Storage,
    workshop: Workshop,
    tenant: str,
    store_name: str,
    plan: Callable[[Store], Awaitable[Plan]],
    *,
    limits: Limits,
    tell: Tell = lambda _: None,
) -> Synced:
    """Plan and take the step; plan anew where the store was changed meanwhile. Raises as `sync` does."""
    for _ in range(_TRIES):
        planned = await plan(await storage.store(tenant, store_name))
        making = _Making(storage, workshop, tenant, limits, tell)
        wanted = [*planned.new, *planned.changed]
        try:
            made = await making.make(wanted)
            puts = [_put(one, made[one.filename]) for one in wanted if one.filename in made]
            gone = [holding.file_id for holding in planned.gone]
            store = await storage.store(tenant, store_name)
            if puts or gone:
                store = await storage.change(tenant, store.id, puts, gone, at=planned.revision)
        except StoreChanged:
            continue
        if making.staged:
            await storage.clear_stage(tenant, making.staged)
        return Synced(
            store=store,
            plan=planned,
            failures={**planned.failures, **making.failures},
            notes={name: one.notes for name, one in made.items() if one.notes},
            chunks=making.chunks,
            computed=making.computed,
        )
    raise StoreChanged(f"The store {store_name} is changed by others without pause. Try again later.")


def _put(wanted: Wanted, made: Made) -> Put:
    return Put(
        filename=wanted.filename,
        content=wanted.content,
        updated_at=made.prepared.updated_at or wanted.updated_at,
        prepared=made.prepared,
        attributes=wanted.attributes,
        replaces=wanted.replaces,
    )


class _Making:
    """Documents made ready: while some are encoded, the next are read and cut."""

    def __init__(self, storage: Storage, workshop: Workshop, tenant: str, limits: Limits, tell: Tell) -> None:
        self.failures: dict[str, str] = {}
        self.staged: list[bytes] = []
        self.chunks = 0
        self.computed = 0
        self._workshop = workshop
        self._tenant = tenant
        self._most = limits.store_chunks
        self._tell = tell
        self._read = 0
        self._encoded = 0
        self._all = 0

    async def make(self, wanted: Sequence[Wanted]) -> dict[str, Made]:
        """By filename, without those that cannot be read. Raises StoreFull where it is more than a store holds."""
        self._all = len(wanted)
        ready: asyncio.Queue[tuple[Wanted, Cut] | None] = asyncio.Queue(_AHEAD)
        cutting = asyncio.create_task(self._cut(wanted, ready))
        made: dict[str, Made] = {}
        try:
            lot: list[tuple[Wanted, Cut]] = []
            while (one := await ready.get()) is not None:
                lot.append(one)
                if sum(len(cut.chunks) for _, cut in lot) >= AT_ONCE:
                    made |= await self._encode(lot)
                    lot = []
            await cutting
            return made | await self._encode(lot)
        finally:
            cutting.cancel()
            await asyncio.wait([cutting])

    async def _cut(self, wanted: Sequence[Wanted], ready: asyncio.Queue[tuple[Wanted, Cut] | None]) -> None:
        try:
            for one in wanted:
                if (cut := await self._cut_one(one)) is not None:
                    await ready.put((one, cut))
                self._read += 1
                self._say()
        except Exception:
            await ready.put(None)
            raise
        await ready.put(None)

    async def _cut_one(self, one: Wanted) -> Cut | None:
        try:
            cut = await self._workshop.reading.cut(one.content, one.filename)
        except Unreadable as error:
            stays = " Its old version stays in the store." if one.replaces else ""
            self.failures[one.filename] = f"{error.message}{stays}"
            return None
        self.chunks += len(cut.chunks)
        if self.chunks > self._most:
            raise StoreFull(
                f"These files make more than {self._most:,} chunks, the most that a store takes "
                "(rag.max_store_chunks): put them into several stores, or raise the bound."
            )
        return cut

    async def _encode(self, lot: Sequence[tuple[Wanted, Cut]]) -> dict[str, Made]:
        made = await self._workshop.encode(self._tenant, [cut for _, cut in lot], stage_last=True)
        for one in made:
            self.computed += one.computed
            self.staged += one.staged
            self._encoded += len(one.prepared.chunks)
        self._say()
        return {wanted.filename: one for (wanted, _), one in zip(lot, made, strict=True)}

    def _say(self) -> None:
        self._tell(Progress(read=self._read, documents=self._all, encoded=self._encoded, chunks=self.chunks))


async def is_in_step(
    storage: Storage, tenant: str, store_name: str, folder: Path, encoder: str, *, context: bool = True
) -> bool:
    """Whether a store holds what the folder holds, made by the encoder of this version. Raises FolderUnusable."""
    try:
        store = await storage.store(tenant, store_name)
    except NotFound:
        return False
    found = await asyncio.to_thread(scan, folder)
    chunker = chunker_of(None, context=context)
    plan = await plan_of(storage, tenant, store, found, encoder=encoder, chunker=chunker)
    return plan.is_empty
