"""Pages of several workers as one that Prometheus can read."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from router.board import Board, join, labelled, take_down
from router.metrics import Metrics
from tests.router.test_metrics import event


def page(requests: int, *, spool: bool = False) -> bytes:
    """A real one. The first worker's has families that the others' have not."""
    metrics = Metrics()
    for _ in range(requests):
        metrics.observe(event(first_token_ms=2.0))
    metrics.refused.add('odd "code"\n{x} y')
    metrics.gauge("weir_in_flight", "Requests being answered now.", lambda: requests)
    if spool:
        metrics.gauge("weir_spool_bytes", "Bytes of them.", lambda: 7)
    return metrics.page()


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels. Fails where a family or a sample comes twice."""
    families = list(text_string_to_metric_families(text.decode()))
    assert Counter(family.name for family in families).most_common(1)[0][1] == 1
    found = [((s.name, frozenset(s.labels.items())), s.value) for family in families for s in family.samples]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_sample_gets_the_label_and_keeps_its_own() -> None:
    plain, with_label = samples(page(2)), samples(labelled(page(2), 3))
    stable = {key for key in plain if not key[0].endswith("_created")}
    assert {(name, labels | {("worker", "3")}) for name, labels in plain} == set(with_label)
    assert {key: plain[key] for key in stable} == {
        (name, labels - {("worker", "3")}): value
        for (name, labels), value in with_label.items()
        if not name.endswith("_created")
    }
    assert ("weir_refused_total", frozenset({("code", 'odd "code"\n{x} y'), ("worker", "3")})) in with_label


def test_pages_are_joined_family_by_family() -> None:
    text = join([labelled(page(2, spool=True), 0), labelled(page(3), 1), b""])
    found = samples(text)
    assert found["weir_in_flight", frozenset({("worker", "0")})] == 2
    assert found["weir_in_flight", frozenset({("worker", "1")})] == 3
    assert found["weir_spool_bytes", frozenset({("worker", "0")})] == 7
    assert sum(value for (name, _), value in found.items() if name == "weir_requests_total") == 5
    headers = [line for line in text.splitlines() if line.startswith(b"#")]
    assert len(set(headers)) == len(headers)
    assert text.endswith(b"\n")


def boards(folder: Path) -> list[Board]:
    """Two that ask each other."""
    made: list[Board] = []
    for worker in (0, 1):
        made.append(
            Board(
                folder,
                worker,
                2,
                page=lambda worker=worker: page(worker + 1),
                ask=lambda worker=worker: made[1 - worker].publish(),
            )
        )
    return made


async def test_whichever_is_asked_shows_all(tmp_path: Path) -> None:
    for board in boards(tmp_path / "workers"):
        found = samples(await board.joined())
        assert [found["weir_in_flight", frozenset({("worker", worker)})] for worker in "01"] == [1, 2]


async def test_it_is_asked_each_time(tmp_path: Path) -> None:
    requests = 0
    other = Board(tmp_path, 1, 2, page=lambda: page(requests), ask=lambda: None)
    board = Board(tmp_path, 0, 2, page=lambda: page(0), ask=other.publish)
    for requests in (1, 2, 3):
        found = samples(await board.joined())
        assert found["weir_in_flight", frozenset({("worker", "1")})] == requests


async def test_one_that_does_not_answer_shows_as_it_was_and_one_that_ended_not_at_all(tmp_path: Path) -> None:
    other = Board(tmp_path, 1, 2, page=lambda: page(5), ask=lambda: None)
    board = Board(tmp_path, 0, 2, page=lambda: page(0), ask=lambda: None)
    assert not [key for key in samples(await board.joined()) if ("worker", "1") in key[1]]
    other.publish()
    while not (tmp_path / "1.prom").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert samples(await board.joined())["weir_in_flight", frozenset({("worker", "1")})] == 5
    take_down(tmp_path, 1)
    assert not [key for key in samples(await board.joined()) if ("worker", "1") in key[1]]
    take_down(tmp_path, 1)


async def test_many_at_once_never_see_half_a_page(tmp_path: Path) -> None:
    first, second = boards(tmp_path)
    pages = await asyncio.gather(*(board.joined() for board in (first, second) * 20))
    for text in pages:
        found = samples(text)
        assert [found["weir_in_flight", frozenset({("worker", worker)})] for worker in "01"] == [1, 2]


async def test_a_folder_that_cannot_be_written_costs_the_others_pages_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    first, _ = boards(tmp_path / "file" / "workers")
    found = samples(await first.joined())
    assert found["weir_in_flight", frozenset({("worker", "0")})] == 1
