"""Admission by permit: a full house says so at once instead of letting a queue grow."""

from __future__ import annotations

from contracts.errors import Overloaded, ShuttingDown


class Permits:
    """At most `most` requests at a time in this process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.closed = False

    def take(self) -> None:
        """Raises Overloaded where all are taken, ShuttingDown once closed."""
        if self.closed:
            raise ShuttingDown("This Weir is shutting down; send the request again.", retry_after_s=1)
        if self.taken >= self.most:
            raise Overloaded(f"{self.most} requests are being answered; come back in a second.", retry_after_s=1)
        self.taken += 1

    def close(self) -> None:
        self.closed = True

    def give_back(self) -> None:
        self.taken -= 1
