"""An instrument that restarts at random moments while the connection to it is kept, as behind a gateway."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from imssa_lab.contract.errors import ImssaError
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from trials.link_chaos import on_scpi
from trials.virtual_kinds import open_scpi_at

MOMENTS = ("before a message", "within a message", "before its answer", "after its answer")
_DRIVEN = ("mvm", "cells", "SET", "RESET", "FORM")
_DEADLINE = 0.3
_AFTER = 4  # operations from that with the restart on


class Restarting(ScpiArrayTester):
    """An array tester that restarts at a moment that `rng` draws, once `due` is set.

    Attributes:
        moments: how often it restarted, by moment; starts: how often in all.
        drives: after how many starts electrodes were driven, time by time.

    Args:
        remembers: keep the session over restarts, so that nobody can notice: the null control.
    """

    def __init__(self, bench: BenchTwin, rng: np.random.Generator, remembers: bool = False) -> None:
        self.due = False
        self.moments: Counter[str] = Counter()
        self.starts = 0
        self.drives: list[int] = []
        self._rng, self._remembers = rng, remembers
        super().__init__(bench)

    def receive(self, data: bytes) -> list[bytes]:
        """As any, with a restart where one is due."""
        if not self.due:
            return self._noted(data)
        self.due = False
        moment = MOMENTS[int(self._rng.integers(len(MOMENTS)))]
        self.moments[moment] += 1
        cut = int(self._rng.integers(1, len(data))) if moment == "within a message" else len(data)
        if moment == "before a message":
            self.restart()
        answers = self._noted(data[:cut])
        if moment != "before a message":
            self.restart()
        if moment == "within a message":
            answers = self._noted(data[cut:])
        return [] if moment == "before its answer" else answers

    def restart(self) -> None:
        """As any."""
        session = self.session
        super().restart()
        self.starts += 1
        if self._remembers:
            self.session = session

    def _noted(self, data: bytes) -> list[bytes]:
        before = len(self.bench.journal.entries)
        answers = super().receive(data)
        new = self.bench.journal.entries[before:]
        self.drives += [self.starts for entry in new if entry.what in _DRIVEN]
        return answers


@dataclass
class Restarts:
    """What came of operations over restarts.

    Attributes:
        count: restarts by moment; good: operations that returned what the instrument measured in the session in which
            it was opened.
        failed: errors of our tree, by type.
        foreign: answers of a later session that were given as those of the one that was opened.
        wrong: answers that are not what was measured, pulses said to be done that were not, or not so.
        driven: times that the electrodes were driven in a later session than that of the array.
        unnoticed: restarts after which the array could still be used.
    """

    count: Counter[str] = field(default_factory=Counter)
    good: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    foreign: int = 0
    wrong: int = 0
    driven: int = 0
    unnoticed: int = 0


def scpi_restarts(restarts: int, seed: int, remembers: bool = False) -> Restarts:
    """Random products, reads and pulses on an SCPI array tester, which restarts so often, each time amid them."""
    rng = np.random.default_rng(seed)
    tester = Restarting(BenchTwin("supert-a0-easy", (4, 3), seed=3), rng, remembers)
    outcome = Restarts(tester.moments)
    operation = on_scpi(tester.bench)
    for _ in range(restarts):
        # a port for each: a connection of pyvisa-py that is given up is not read to its end
        with TcpPort(tester) as port:
            array = open_scpi_at(port.resource, _DEADLINE)
            opened, before, calm = tester.starts, len(tester.drives), int(rng.integers(4))
            for number in range(calm + _AFTER):
                tester.due = number == calm
                driven = len(tester.drives)
                try:
                    right = operation(array, rng)
                except ImssaError as error:
                    outcome.failed[type(error).__name__] += 1
                else:
                    mine = tester.drives[driven:] == [opened]
                    outcome.foreign += not mine
                    outcome.wrong += not right
                    outcome.good += mine and right
            outcome.driven += sum(start != opened for start in tester.drives[before:])
            outcome.unnoticed += not array.link.closed
            with suppress(ImssaError):
                array.close()
    return outcome
