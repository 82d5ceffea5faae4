"""Measures every bar of instruments on wires; exits with 1 where one falls short.

``python -m benchmarks.measure_wires [--quick] [--only PART ...]``; 40 minutes.
"""

from __future__ import annotations

import logging
import sys

import numpy as np

from benchmarks.bars import Bars
from benchmarks.parts import asked_for, parser_of
from benchmarks.wires.requests import fuzz, same_bits, threads
from benchmarks.wires.speed import speed
from benchmarks.wires.whole import contract, demos, traps
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
from twin.instruments.server import PtyPort
from twin.instruments.virtual_supert_a0 import SuperTBoard
from twin.instruments.wire_faults import KINDS, Faults

_DEADLINE = 0.3
_RATE = 0.1


def scpi_chaos(bars: Bars, quick: bool) -> None:
    """Random operations under all faults on the SCPI link."""
    operations = 200 if quick else 10_000
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


def supert_chaos(bars: Bars, quick: bool) -> None:
    """Random operations on the superT link under all faults of a serial port; a board that hangs is restarted."""
    operations = 200 if quick else 10_000
    kinds = tuple(kind for kind in KINDS if kind not in ("refused", "identity", "error"))
    # an operation is some hundred commands, each of which may meet a fault
    faults = Faults(kinds, _RATE / 50, np.random.default_rng(13), seconds=2 * _DEADLINE)
    firmware = SuperTBoard("supert-a0-easy", 3)
    seen, restarts = 0, 0

    def undetectable() -> bool:
        nonlocal seen, restarts
        new, seen = faults.flips[seen:], len(faults.flips)
        lost = any(undetectable_loss_on_supert(data) for data in faults.cut_short)
        faults.cut_short.clear()
        if firmware.hung:
            firmware.restart()
            restarts += 1
        return lost or any(undetectable_on_supert(flip) for flip in new)

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


def stopping(bars: Bars, quick: bool) -> None:
    """Exception, Ctrl-C and SIGTERM at random moments, and kill -9."""
    rng = np.random.default_rng(15)
    for kind, many in (("scpi", 100), ("superT", 100), ("smu and matrix", 30)):
        trials = 6 if quick else many
        outcome = stops(kind, trials, rng)
        bars.check(f"stops in the middle of programming, {kind}", outcome.trials, ">=", trials)
        bars.check(f"outputs not at 0 V and grounded after them, {kind}", outcome.ungrounded, "==", 0)
        bars.check(f"slowest way to 0 V and ground, s, {kind}", outcome.slowest, "<=", 1.0)
    outcome = kills(3 if quick else 30, rng)
    bars.check("kill -9 and frozen scripts: outputs not grounded, scpi", outcome.ungrounded, "==", 0)
    bars.check(f"slowest, s, with a watchdog of {WATCHDOG:g} s", outcome.slowest, "<=", WATCHDOG + 0.1)


_PARTS = {
    "contract": contract,
    "traps": traps,
    "bits": same_bits,
    "scpi-chaos": scpi_chaos,
    "supert-chaos": supert_chaos,
    "threads": threads,
    "fuzz": fuzz,
    "stopping": stopping,
    "speed": speed,
    "demos": demos,
}


def main() -> int:
    """All parts, or those asked for."""
    parser = parser_of(_PARTS, __doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a measurement")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # that links get back in step thousands of times
    bars = Bars()
    for part in asked_for(_PARTS, arguments):
        part(bars, arguments.quick)
    return bars.exit_code()


if __name__ == "__main__":
    sys.exit(main())
