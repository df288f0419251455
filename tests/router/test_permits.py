from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import Overloaded, ShuttingDown
from router.permits import Permits, SharedPermits, shared_slots

ROOT = Path(__file__).parents[2]


def test_a_full_house_says_so_at_once_and_opens_again() -> None:
    permits = Permits(2)
    permits.take()
    permits.take()
    with pytest.raises(Overloaded) as refusal:
        permits.take()
    assert refusal.value.retry_after_s == 1
    permits.give_back()
    permits.take()
    assert permits.taken == 2


def test_a_closed_house_takes_nobody_and_waits_for_those_inside() -> None:
    permits = Permits(2)
    permits.take()
    permits.close()
    with pytest.raises(ShuttingDown):
        permits.take()
    permits.give_back()
    assert permits.taken == 0


def test_workers_count_together_and_each_gives_back_its_own() -> None:
    slots = shared_slots(2)
    first, second = (SharedPermits(3, slots, worker) for worker in (0, 1))
    for permits in (first, second, first):
        permits.take()
    for permits in (first, second):
        with pytest.raises(Overloaded, match="3 requests") as refusal:
            permits.take()
        assert refusal.value.retry_after_s == 1
    assert (first.taken, second.taken, list(slots)) == (2, 1, [2, 1])
    first.give_back()
    second.take()
    assert (first.taken, second.taken, list(slots)) == (1, 2, [1, 2])


def test_what_a_dead_worker_held_can_be_taken_again() -> None:
    slots = shared_slots(2)
    first, second = (SharedPermits(2, slots, worker) for worker in (0, 1))
    first.take()
    second.take()
    slots[0] = 0  # the parent's doing
    second.take()
    with pytest.raises(Overloaded):
        SharedPermits(2, slots, 0).take()


def test_one_closed_worker_does_not_close_the_others() -> None:
    slots = shared_slots(2)
    first, second = (SharedPermits(2, slots, worker) for worker in (0, 1))
    first.take()
    first.close()
    with pytest.raises(ShuttingDown):
        first.take()
    first.give_back()
    second.take()
    second.take()
    assert list(slots) == [0, 2]


RACE = """
import mmap, os, sys
from contracts.errors import Overloaded
from router.permits import SharedPermits, shared_slots

workers, most, rounds = 3, 2, 40_000
slots, inside, begun = shared_slots(workers), shared_slots(workers), shared_slots(workers)

def race(worker):
    permits = SharedPermits(most, slots, worker)
    let_in = worst = 0
    begun[worker] = 1
    while sum(begun) < workers:
        pass
    for _ in range(rounds):
        try:
            permits.take()
        except Overloaded:
            continue
        inside[worker] = 1
        worst = max(worst, sum(inside))
        inside[worker] = 0
        permits.give_back()
        let_in += 1
    os.write(1, b"%d %d\\n" % (let_in, worst))  # in one piece, as the others write too

children = []
for worker in range(workers):
    children.append(os.fork())
    if not children[-1]:
        race(worker)
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
print(sum(slots), flush=True)
"""


def test_however_they_race_there_are_never_too_many_inside() -> None:
    script = subprocess.run(
        [sys.executable, "-c", RACE], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    *races, left = script.stdout.splitlines()
    assert len(races) == 3
    for let_in, worst in map(str.split, races):
        assert int(let_in) > 0
        assert int(worst) <= 2
    assert left == "0"
