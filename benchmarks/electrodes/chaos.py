"""Ten thousand random operations under faults on each kind of wire: wrong answers, and damage that nothing shows."""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from benchmarks.bars import Bars
from imssa_lab.virtual.wire_faults import KINDS, Faults
from trials.electrodes.smu_bench import KINDS as BENCHES
from trials.electrodes.smu_chaos import SOCKET_FAULTS, smu_chaos
from trials.electrodes.supert_chaos import SERIAL_FAULTS, supert_chaos
from trials.link_chaos import Outcome, on_scpi, random_operations
from trials.virtual_kinds import virtual_scpi

_OPERATIONS, _SMOKE = 10_000, 24
_WORKERS = 4  # they wait for deadlines most of the time
_SCPI_DEADLINE, _SCPI_RATE = 0.3, 0.1


@dataclass
class _Share:
    """What one worker saw: outcome, faults met, what was damaged unseen, restarts of a board that hung."""

    outcome: Outcome
    injected: Counter[str]
    harmed: Counter[str] = field(default_factory=Counter)
    hung: int = 0


def supert(bars: Bars) -> None:
    """Products, reads and pulses on a superT A0, both ways of each; a board that hangs is restarted."""
    _judge(bars, "superT A0", _shares(_supert, bars), SERIAL_FAULTS)


def scpi(bars: Bars) -> None:
    """Products, reads and pulses on an SCPI array tester."""
    _judge(bars, "SCPI", _shares(_scpi, bars), tuple(KINDS))


def smu(bars: Bars) -> None:
    """Products, reads and pulses on two meters and a matrix, of three kinds each, all wires failing."""
    _judge(bars, "SMU and matrix", _shares(_smu, bars), SOCKET_FAULTS)


def _supert(operations: int, seed: int) -> _Share:
    outcome, faults, excuses = supert_chaos(operations, seed, rate=0.001)
    return _Share(outcome, faults.injected, excuses.harmed, excuses.restarts)


def _smu(operations: int, seed: int) -> _Share:
    outcome, wires, excuses = smu_chaos(operations, seed, rate=0.002, bench=seed % len(BENCHES))
    return _Share(outcome, sum((faults.injected for faults in wires), Counter()), excuses.harmed)


def _scpi(operations: int, seed: int) -> _Share:
    faults = Faults(tuple(KINDS), _SCPI_RATE, np.random.default_rng(seed), seconds=1.5 * _SCPI_DEADLINE)
    with virtual_scpi((4, 3), faults=faults) as instrument:
        outcome = random_operations(
            on_scpi(instrument.bench),
            lambda: instrument.connect(_SCPI_DEADLINE),
            instrument.is_closed,
            _SCPI_DEADLINE,
            operations,
            np.random.default_rng([seed, 1]),
        )
    return _Share(outcome, faults.injected)


def _shares(run: Callable[[int, int], _Share], bars: Bars) -> _Share:
    """All workers' together, each with seeds of its own."""
    if bars.smoke:
        return run(_SMOKE, 0)
    total = _Share(Outcome(), Counter())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_WORKERS, context, logging.disable, (logging.WARNING,)) as pool:
        each = -(-_OPERATIONS // _WORKERS)
        for share in pool.map(run, [each] * _WORKERS, range(_WORKERS)):
            total.outcome.add(share.outcome)
            total.injected += share.injected
            total.harmed += share.harmed
            total.hung += share.hung
    return total


def _judge(bars: Bars, name: str, seen: _Share, kinds: tuple[str, ...]) -> None:
    outcome = seen.outcome
    bars.check(
        f"random operations under faults, {name}",
        outcome.good + outcome.failed.total() + outcome.opened,
        ">=",
        bars.size(_OPERATIONS, smoke=_SMOKE),
        f"{outcome.good} answered; {_listed(outcome.failed)}; {outcome.opened} times opened",
    )
    bars.check(f"kinds of faults met, {name}", len(seen.injected), ">=", len(kinds), _listed(seen.injected))
    bars.check(f"wrong answers, and pulses unlike those asked, {name}", outcome.wrong, "==", 0)
    bars.check(f"errors outside the tree, {name}", outcome.strange, "==", 0)
    print(f"      damage that nothing on this wire shows: {_listed(seen.harmed) or 'none'}")
    print(f"      of these came into an answer or a pulse: {_listed(outcome.undetectable) or 'none'}")
    if seen.hung:
        print(f"      the board hung and was restarted {seen.hung} times")


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counted.items()) if count)
