"""make measure-wires: instruments on wires, their faults, stops and speed (40 minutes)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import numpy as np

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from benchmarks.wires.requests import fuzz, same_bits, threads
from benchmarks.wires.restarts import restarts
from benchmarks.wires.speed import speed
from benchmarks.wires.whole import contract, demos, traps
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from imssa_lab.virtual.wire_faults import KINDS, Faults
from trials.link_chaos import (
    Outcome,
    on_scpi,
    on_supert,
    random_operations,
    undetectable_loss_on_supert,
    undetectable_on_supert,
)
from trials.stops import WATCHDOG, kills, stops
from trials.virtual_kinds import open_supert_at, virtual_scpi

_DEADLINE = 0.3
_RATE = 0.1


def scpi_chaos(bars: Bars) -> None:
    """Random operations under all faults on the SCPI link."""
    operations = bars.size(10_000, quick=200, smoke=20)
    faults = Faults(tuple(KINDS), _RATE, np.random.default_rng(11), seconds=2 * _DEADLINE)
    with virtual_scpi((4, 3), faults=faults) as instrument:
        outcome = random_operations(
            on_scpi(instrument.bench),
            lambda: instrument.connect(_DEADLINE),
            instrument.is_closed,
            _DEADLINE,
            operations,
            np.random.default_rng(12),
        )
    _check(bars, outcome, "SCPI", operations, faults)


def supert_chaos(bars: Bars) -> None:
    """Random operations on the superT link under all faults of a serial port; a board that hangs is restarted."""
    operations = bars.size(10_000, quick=200, smoke=20)
    kinds = tuple(kind for kind in KINDS if kind not in ("refused", "identity", "error"))
    # an operation is some hundred commands, each of which may meet a fault
    faults = Faults(kinds, _RATE / 50, np.random.default_rng(13), seconds=2 * _DEADLINE)
    firmware = SuperTBoard("supert-a0-easy", 3)
    seen, restarts = 0, 0
    spoiled = -1  # the power-up after which something that nothing can show changed the board's state

    def undetectable() -> bool:
        nonlocal seen, restarts, spoiled
        new, seen = faults.flips[seen:], len(faults.flips)
        lost = any(undetectable_loss_on_supert(data) for data in faults.cut_short)
        faults.cut_short.clear()
        if firmware.hung:
            firmware.restart()
            restarts += 1
        unseen = [flip for flip in new if undetectable_on_supert(flip)]
        if lost or any(flip.to_instrument for flip in unseen):
            spoiled = firmware.power_ups
        return bool(unseen) or spoiled == firmware.power_ups

    with PtyPort(firmware, faults) as port:
        outcome = random_operations(
            on_supert(firmware.benches[0]),
            lambda: open_supert_at(port.port, _DEADLINE, (4, 3)),
            lambda array: array.board.link.closed,  # type: ignore[attr-defined]
            _DEADLINE,
            operations,
            np.random.default_rng(14),
            undetectable,
        )
    _check(bars, outcome, "superT", operations, faults)
    print(f"      the board hung and was restarted {restarts} times")


def _check(bars: Bars, outcome: Outcome, name: str, operations: int, faults: Faults) -> None:
    """Against the bars."""
    injected = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.injected.items()))
    failed = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.failed.items()))
    bars.check(
        f"random operations under faults, {name}",
        outcome.good + outcome.failed.total() + outcome.opened,
        ">=",
        operations,
        f"{outcome.good} answered; {failed}; {outcome.opened} times opened; faults: {injected}",
    )
    bars.check(f"kinds of faults that were met, {name}", len(faults.injected), ">=", len(faults.kinds))
    bars.check(
        f"wrong answers, {name}",
        outcome.wrong,
        "==",
        0,
        f"{outcome.undetectable} more after flips that this wire cannot show" if outcome.undetectable else "",
    )
    bars.check(f"errors outside the tree, {name}", outcome.strange, "==", 0)
    bars.check(f"slowest operation, in deadlines, {name}", outcome.slowest, "<=", 1.2)


def stopping(bars: Bars) -> None:
    """Exception, Ctrl-C and SIGTERM at random moments, and kill -9."""
    rng = np.random.default_rng(15)
    for kind, many in (("scpi", 100), ("superT", 100), ("smu and matrix", 30)):
        trials = bars.size(many, quick=6, smoke=1)
        outcome = stops(kind, trials, rng)
        bars.check(f"stops in the middle of programming, {kind}", outcome.trials, ">=", trials)
        bars.check(f"outputs not at 0 V and grounded after them, {kind}", outcome.ungrounded, "==", 0)
        bars.check(f"slowest way to 0 V and ground, s, {kind}", outcome.slowest, "<=", 1.0)
    outcome = kills(bars.size(30, quick=3, smoke=1), rng)
    bars.check("kill -9 and frozen scripts: outputs not grounded, scpi", outcome.ungrounded, "==", 0)
    bars.check(f"slowest, s, with a watchdog of {WATCHDOG:g} s", outcome.slowest, "<=", WATCHDOG + 0.1)


def _part(run: Callable[[Bars], None], cells: str, array: str, seeds: str) -> Part:
    return Part(lambda bars, given: run(bars), "supert-a0-easy", cells, array, seeds)


_BOTH = "drivers of superT A0 and SCPI, virtual instruments"
PARTS = {
    "contract": _part(contract, "pulses", "every kind of tests/contract", "5"),
    "traps": _part(traps, "pulses", "drivers, virtual instruments", "those of the tests"),
    "bits": _part(same_bits, "pulses", f"{_BOTH}, beside the twin in process", "1, 5, 6"),
    "scpi-chaos": _part(scpi_chaos, "pulses", "driver of SCPI, virtual instrument with faults", "3, 11, 12"),
    "supert-chaos": _part(supert_chaos, "pulses", "driver of the superT A0, virtual board with faults", "3, 13, 14"),
    "restarts": _part(restarts, "pulses", "driver of SCPI, virtual instrument that restarts", "3, 21"),
    "threads": _part(threads, "none", "driver of SCPI, virtual instrument", "1"),
    "fuzz": _part(fuzz, "none may be sent", _BOTH, "1, 7"),
    "stopping": _part(stopping, "pulses", "drivers of superT A0, SCPI and SMU with matrix, virtual", "0, 3, 15"),
    "speed": _part(speed, "pulses", _BOTH, "0, 1"),
    "demos": _part(demos, "pulses", _BOTH, "0"),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that links get back in step thousands of times
    sys.exit(measure(__doc__, PARTS, quick=True))
