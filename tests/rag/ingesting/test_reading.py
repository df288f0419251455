"""The reading child: one job after the other, and what a hostile file costs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from rag.ingesting.reading import Reading
from rag.ports import Limits
from rag.reading.text import Unreadable
from tests.rag.reading.made_files import docx, pdf

STATM = Path("/proc/self/statm")
BOUND = 48 * 1024 * 1024
AMPLE_S = 20.0


@pytest.fixture
async def reading() -> AsyncIterator[Reading]:
    made = Reading(Limits(read_s=20.0, read_bytes=BOUND, file_bytes=1_000_000))
    yield made
    await made.close()


def _bomb() -> bytes:
    """A DOCX whose body is 40 MB of one letter, and claims no more than it holds."""
    made = BytesIO()
    with ZipFile(BytesIO(docx(("Normal", "x")))) as plain, ZipFile(made, "w", ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            content = plain.read(name)
            if name == "word/document.xml":
                content = content.replace(b">x<", b">" + b"x" * 40_000_000 + b"<")
            bomb.writestr(name, content)
    return made.getvalue()


async def test_one_child_reads_one_file_after_the_other(reading: Reading) -> None:
    texts = [
        (await reading.cut(content, name)).text
        for name, content in (("a.md", b"# One"), ("b.pdf", pdf([["Two"]])), ("c.html", b"<p>Three"))
    ]
    assert texts == ["# One", "Two", "Three\n"]
    first = reading.pid
    assert first is not None
    await reading.cut(b"more", "a.txt")
    assert reading.pid == first


async def test_several_at_once_wait_for_each_other(reading: Reading) -> None:
    made = await asyncio.gather(*(reading.cut(f"text {n}".encode(), "a.txt") for n in range(5)))
    assert [cut.text for cut in made] == [f"text {n}" for n in range(5)]


async def test_what_cannot_be_read_is_refused_and_the_child_goes_on(reading: Reading) -> None:
    with pytest.raises(Unreadable, match="These can") as refused:
        await reading.cut(b"", "a.exe")
    assert refused.value.code == "unsupported_file"
    assert (await reading.cut(b"fine", "a.txt")).text == "fine"


async def test_a_file_beyond_the_bound_is_refused(reading: Reading) -> None:
    with pytest.raises(Unreadable, match="1,000,001 bytes, and the most is 1,000,000"):
        await reading.cut(b"x" * 1_000_001, "a.txt")


@pytest.mark.skipif(not STATM.exists(), reason="memory is bounded on Linux")
async def test_a_file_that_unpacks_beyond_its_memory_costs_its_own_document(reading: Reading) -> None:
    with pytest.raises(Unreadable, match="50,331,648 bytes of memory") as refused:
        await reading.cut(_bomb(), "bomb.docx")
    assert refused.value.code == "invalid_file"
    assert (await reading.cut(b"fine", "a.txt")).text == "fine"


async def test_a_file_that_takes_too_long_is_given_up() -> None:
    reading = Reading(Limits(read_s=0.05))
    slow = pdf([[f"{line} line" for line in range(30)] for _ in range(300)])
    try:
        await reading.cut(b"first", "a.txt")  # so that the start of the child is not part of it
        with pytest.raises(Unreadable, match=r"more than 0\.05 s"):
            await reading.cut(slow, "slow.pdf")
        assert (await reading.cut(b"fine", "a.txt")).text == "fine"
    finally:
        await reading.close()


async def test_a_file_that_brings_two_down_is_refused(reading: Reading) -> None:
    """One that read others before, and a new one."""
    await reading.cut(b"one", "a.txt")
    first = reading.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that it is at the file when it is killed
    bad = asyncio.create_task(reading.cut(b"bad", "a.txt"))
    await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(AMPLE_S):
        while (second := reading.pid) in (None, first):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.001)
    assert second is not None
    os.kill(second, signal.SIGKILL)  # long before it has started
    with pytest.raises(Unreadable, match=r"brought the reader down \(status -9\)"):
        await bad
    assert (await reading.cut(b"fine", "a.txt")).text == "fine"


async def test_a_child_that_is_killed_while_idle_costs_no_file(reading: Reading) -> None:
    await reading.cut(b"one", "a.txt")
    first = reading.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert (await reading.cut(b"two", "a.txt")).text == "two"
    assert reading.pid not in (None, first)


async def test_what_was_cancelled_is_not_the_next_ones_answer(reading: Reading) -> None:
    await reading.cut(b"one", "a.txt")
    slow = asyncio.create_task(reading.cut(pdf([["slow"]] * 100), "slow.pdf"))
    await asyncio.sleep(0.05)
    slow.cancel()
    assert (await reading.cut(b"next", "a.txt")).text == "next"


@pytest.mark.skipif(not STATM.exists(), reason="what a process knows is shown on Linux")
async def test_the_child_knows_no_secret(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    await reading.cut(b"one", "a.txt")
    known = await asyncio.to_thread(Path(f"/proc/{reading.pid}/environ").read_bytes)
    assert known
    assert b"sk-secret" not in known
