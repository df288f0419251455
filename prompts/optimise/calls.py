"""The calls of a search and its test, on disk before they are sent and again once answered: none is paid twice.

The non-obvious decision: what is recorded are calls and not an optimiser's state. A search that goes on runs from
its beginning, asks what it asked before, and hears the same answers until it comes to calls that are new. So any
optimiser can be resumed that asks the same for the same answers, and there is nothing of it to be kept in step.

A call is known by its content and by the how-manieth time it is asked. Lines of the file, after the first one that
says whose search it is:

    {"sent": KEY, "aside": "0.0041"}                    before each attempt, with the dollars set aside for it
    {"answered": KEY, "cost": "0.0007", "answer": ...}  before anybody is given the answer
    {"failed": KEY, "paid": false}                      `paid`: it may have been paid for, though nobody answered

An attempt without an end was under way when the process was killed. It counts as paid, at what was set aside for
it, as does one that may have been paid for: so a cap holds over any number of starts. Keys of the test's calls
begin with `test-`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from contracts.money import ZERO, plain
from evals.cases import canonical
from evals.records import Answer
from evals.runner.allowance import Allowance
from evals.runner.asking import MAY_BE_PAID
from evals.scorers.catalogue import ScorerSettings
from evals.targets.port import Price, TargetFailure
from prompts.optimise.order import Order
from system.files import try_lock

FILE = "calls.jsonl"
Kind = Literal["task", "reflection", "judge", "test"]
_TEST = "test-"

_UNUSABLE = (msgspec.MsgspecError, InvalidOperation, KeyError, TypeError, AttributeError)
"""What a line that nobody of us wrote makes of reading it."""


class SearchRefused(ValueError):
    """A search that cannot begin or go on. The message says what to do."""


class Calls:
    """Belongs to one event loop at a time. In dollars, over all starts: `spent` searching, `tested` by the test."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self._asked: Counter[str] = Counter()
        self._answers: dict[str, Answer] = {}
        self._under_way: defaultdict[str, list[Decimal]] = defaultdict(list)
        self.spent = ZERO
        self.tested = ZERO

    def key(self, kind: Kind, body: Mapping[str, Any], model: str = "") -> str:
        """Names a call that is about to be made, the next one of its content. `body` holds all that is sent."""
        content = hashlib.blake2b(canonical([kind, body, model]), digest_size=16).hexdigest()
        self._asked[content] += 1
        return f"{_TEST if kind == 'test' else ''}{content}-{self._asked[content]}"

    def answer(self, key: str) -> Answer | None:
        """What an earlier start was told."""
        return self._answers.get(key)

    def sent(self, key: str, aside: Decimal) -> None:
        """An attempt begins, with so many dollars set aside. Raises OSError."""
        self._write({"sent": key, "aside": plain(aside)})
        self._under_way[key].append(aside)

    def answered(self, key: str, answer: Answer, cost: Decimal) -> None:
        """Counts the answer, also where it cannot be written, which raises OSError."""
        self._end(key)
        self._pay(key, cost)
        self._answers[key] = answer
        self._write({"answered": key, "cost": plain(cost), "answer": answer})

    def failed(self, key: str, *, paid: bool) -> None:
        """An attempt ended without an answer; `paid` where it may have been paid for. Raises OSError."""
        aside = self._end(key)
        self._pay(key, aside if paid else ZERO)
        self._write({"failed": key, "paid": paid})

    def read(self, lines: Iterator[bytes]) -> None:
        """What earlier starts wrote. Raises one of `_UNUSABLE`."""
        for line in lines:
            found = msgspec.json.decode(line)
            if "sent" in found:
                self._under_way[found["sent"]].append(Decimal(found["aside"]))
            elif "answered" in found:
                key = found["answered"]
                self._end(key)
                self._answers[key] = msgspec.convert(found["answer"], Answer, strict=False)
                self._pay(key, Decimal(found["cost"]))
            else:
                aside = self._end(found["failed"])
                self._pay(found["failed"], aside if found["paid"] else ZERO)
        for key, asides in self._under_way.items():
            self._pay(key, sum(asides, ZERO))
        self._under_way.clear()

    def _pay(self, key: str, dollars: Decimal) -> None:
        if key.startswith(_TEST):
            self.tested += dollars
        else:
            self.spent += dollars

    def _end(self, key: str) -> Decimal:
        """What was set aside for the attempt that has ended."""
        return self._under_way[key].pop() if self._under_way[key] else ZERO

    def _write(self, line: Mapping[str, Any]) -> None:
        _write_line(self._fd, self._path, line)


class Weir(Protocol):
    """What is asked: `evals.targets.in_process.InProcessTarget`, of which see there."""

    @property
    def name(self) -> str: ...
    async def start(self) -> None: ...
    async def ask(
        self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "", rendered: str = ""
    ) -> Answer: ...
    def price(self, model: str = "") -> Price | None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """Implements `evals.runner.asking.Answering`: each attempt of the call `key` is recorded."""

    weir: Weir
    calls: Calls
    allowance: Allowance
    key: str
    rendered: str

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        aside = ZERO if self.weir.price(model) is None else self.allowance.most(body, model)
        self.calls.sent(self.key, aside)
        answer, paid = None, True
        try:
            answer = await self.weir.ask(body, fresh=fresh, model=model, rendered=self.rendered)
        except TargetFailure as failure:
            paid = failure.code in MAY_BE_PAID
            raise
        finally:
            if answer is None:
                self.calls.failed(self.key, paid=paid)
        self.calls.answered(self.key, answer, self.allowance.bill(answer, model))
        return answer


@contextmanager
def open_calls(folder: Path, search: Mapping[str, Any]) -> Iterator[Calls]:
    """The record in `folder`, made where there is none, and held for this search alone.

    `search` is all that makes its calls what they are, by names that a person understands. Raises SearchRefused
    where the folder is another search's, is in use or damaged; and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / FILE
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(fd):
            raise SearchRefused(f"Another search is writing to {folder}: wait for it, or give another --out.")
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        os.ftruncate(fd, len(whole))  # a line that a killed process began was of a call whose sending is recorded
        calls, lines = Calls(fd, path), iter(whole.splitlines())
        wanted = msgspec.json.decode(msgspec.json.encode(search, order="sorted"))
        try:
            head = next(lines, None)
            if head is not None:
                _check(msgspec.json.decode(head)["search"], wanted, folder)
                calls.read(lines)
        except _UNUSABLE as error:
            raise SearchRefused(f"{path} is damaged ({error}): give another --out.") from error
        if head is None:
            _write_line(fd, path, {"search": wanted})
        yield calls
    finally:
        os.close(fd)


def search_of(order: Order) -> Mapping[str, Any]:
    """What makes the calls of a search what they are. Budgets, deadlines and concurrency are free to change."""
    config = order.loaded.config
    route = config.routes[order.route]
    models = {*route.candidates, order.reflect_with, getattr(quality_of(order), "model", "")} & config.models.keys()
    return {
        "the suite": order.suite.version,
        "the prompt to begin with": order.prompt.version,
        "the route": order.route,
        "its policy": [*route.candidates, route.policy.model_dump(mode="json")],
        "its models": {name: [config.models[name].upstream, config.models[name].name] for name in models},
        "what stands in for upstreams": dict(order.loaded.stand_ins),
        "the tenant": order.tenant,
        "the optimiser": [order.optimiser, order.objective, order.effort],
        "the model that reflects": order.reflect_with,
        "the test part": order.test_share,
        "the seed": order.seed,
        "the size of prompts": [order.most_tokens, order.most_demonstrations],
    }


def quality_of(order: Order) -> ScorerSettings:
    """The scorer that stands for quality."""
    return next(settings for settings in order.suite.scorers if settings.called == order.suite.quality)


def _write_line(fd: int, path: Path, line: Mapping[str, Any]) -> None:
    """Append it. No sync: what was written survives the process, and only a power cut could take it."""
    data, begun = memoryview(msgspec.json.encode(line) + b"\n"), os.fstat(fd).st_size
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        os.ftruncate(fd, begun)  # half a line would make one of the next, once the disk has room again
        error.filename = str(path)
        raise


def _check(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    differs = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if differs:
        raise SearchRefused(
            f"{folder} holds a search that differs in {', '.join(differs)}. Give another --out, or order it as it "
            "was begun."
        )
