"""A conversation on a wire as lengths and bytes: what a raw port needs to hold the same one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Turn = tuple[list[bytes], bytes]
"""What goes to the instrument, write by write, and what comes back for it."""


class Conversation:
    """Writes down every byte on a wire, as a recorder of `RecordingStream`, in turns."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def sent(self, data: bytes, time: float) -> None:
        """Bytes to the instrument."""
        if self.turns and not self.turns[-1][1]:
            self.turns[-1][0].append(data)
        else:
            self.turns.append(([data], b""))

    @property
    def size(self) -> int:
        """Bytes both ways."""
        return sum(sum(map(len, asked)) + len(answered) for asked, answered in self.turns)

    def received(self, data: bytes, time: float) -> None:
        """Bytes from the instrument."""
        asked, answered = self.turns[-1]
        self.turns[-1] = (asked, answered + data)


@contextmanager
def responder(kind: str, opening: list[Turn], repeated: list[Turn]) -> Iterator[str]:
    """A port ("tcp" or "pty") in a process of its own that holds `opening` once and `repeated` for ever, by length.

    It looks at nothing but how many bytes came, so it is as fast as the wire. Gives the port's name.
    """
    command = [sys.executable, "-m", "benchmarks.wires.responder", kind]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lengths = [[(sum(map(len, asked)), answered) for asked, answered in turns] for turns in (opening, repeated)]
        pickle.dump(lengths, process.stdin)
        process.stdin.flush()
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.kill()
