"""Boards, meters and matrices that restart at random moments while the connection to them is kept."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from imssa_lab.contract.errors import ImssaError
from imssa_lab.virtual.server import PtyPort
from trials.electrodes.smu_bench import KINDS, SmuBench
from trials.electrodes.smu_chaos import on_smu
from trials.electrodes.supert_chaos import SHAPE, NotedBoard, on_supert

_DEADLINE = 0.3


@dataclass
class Restarts:
    """What came of operations over restarts.

    Attributes:
        count: restarts, by instrument; good: operations that gave what was measured for them, and pulsed what they
            said; wrong: those that did not; failed: errors of our tree, by type.
        unnoticed: restarts of an instrument that had something to lose, after which nothing was refused and nothing
            was set up anew.
    """

    count: Counter[str] = field(default_factory=Counter)
    good: int = 0
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unnoticed: int = 0


class RestartingBoard(NotedBoard):
    """A superT A0 that loses its power before or after the command that comes when `after` is counted down.

    A board that hangs gets its power switched as well, as whoever sits beside it does.
    """

    after = -1
    late = False
    restarts = 0

    def receive(self, data: bytes) -> list[bytes]:
        """As any."""
        self.after -= 1
        due = self.after == 0
        if due and not self.late:
            self._off_and_on()
        answers = super().receive(data)
        if due and self.late:
            self._off_and_on()
            return []
        if self.hung:
            self.restart()
        return answers

    def _off_and_on(self) -> None:
        self.restart()
        self.restarts += 1


def supert_restarts(restarts: int, seed: int) -> Restarts:
    """Random products, reads and pulses on a board that restarts so often."""
    rng = np.random.default_rng(seed)
    outcome = Restarts()
    board = RestartingBoard("supert-a0-easy", seed)
    operation = on_supert(board)
    with PtyPort(board) as port:
        array = SuperTArray(Board(open_serial(port.port), _DEADLINE), 0, SHAPE, sleep=lambda seconds: None)
        for _ in range(restarts):
            before, power_ups, failed = board.restarts, board.power_ups, False
            # an operation on a board that is set up takes some ten commands, one that sets it up two hundred
            board.late, board.after = bool(rng.integers(2)), int(10 ** rng.uniform(0, 2.3))
            for _ in range(50):
                failed |= not _try(outcome, lambda: operation(array, rng))
                if board.restarts > before and (failed or board.power_ups > power_ups):
                    break
            else:
                outcome.unnoticed += board.restarts > before
            board.after = -1
            outcome.count["superT A0"] += board.restarts - before
            _try(outcome, lambda: operation(array, rng))
        with suppress(ImssaError):
            array.close()
    return outcome


def smu_restarts(restarts: int, seed: int) -> Restarts:
    """Random products, reads and pulses on benches of two meters and a matrix, one of which restarts each time."""
    rng = np.random.default_rng(seed)
    outcome = Restarts()
    for number in range(restarts):
        kinds, which = KINDS[number % len(KINDS)], number // len(KINDS) % 3
        bench = SmuBench(kinds)
        array, operation = bench.connect(), on_smu(bench)
        seen = len(bench.wires[which].sent) + int(rng.integers(60))

        def off_and_on(message: bytes, bench: SmuBench = bench, which: int = which, seen: int = seen) -> None:
            if len(bench.wires[which].sent) == seen:
                bench.instruments[which].restart()
                outcome.count[bench.kinds[which]] += 1

        bench.wires[which].at = off_and_on
        before, refused = outcome.count.total(), False
        while outcome.count.total() == before and not refused:
            refused = not _try(outcome, lambda: operation(array, rng))  # noqa: B023
        for _ in range(2):  # it stays refused until it is opened again
            refused &= not _try(outcome, lambda: operation(array, rng))  # noqa: B023
        # a 707A whose relays were open has lost nothing, and tells nobody
        outcome.unnoticed += not refused and kinds[which] != "707A"
        bench.wires[which].at = lambda message: None
    return outcome


def _try(outcome: Restarts, operation: object) -> bool:
    try:
        right = operation()  # type: ignore[operator]
    except ImssaError as error:
        outcome.failed[type(error).__name__] += 1
        return False
    outcome.good += right
    outcome.wrong += not right
    return True
