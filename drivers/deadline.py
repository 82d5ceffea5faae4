"""`Deadline`: one end of time for all the steps of a conversation."""

from __future__ import annotations

import math
import time


class Deadline:
    """A moment `seconds` from now that every step of an exchange shares."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left, 0.0 when none are."""
        return max(self._end - time.monotonic(), 0.0)

    def milliseconds(self) -> int:
        """What is left in ms, rounded up: what `poll` takes."""
        return math.ceil(self.left() * 1e3)

    def at_most(self, seconds: float) -> Deadline:
        """An earlier end, `seconds` from now, but not later than this one."""
        return Deadline(min(seconds, self.left()))
