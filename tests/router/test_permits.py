from __future__ import annotations

import pytest

from contracts.errors import Overloaded, ShuttingDown
from router.permits import Permits


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
