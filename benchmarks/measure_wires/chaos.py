"""Random operations on a link with random faults: no answer may be wrong, every failure has its type, in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from imssa_lab.errors import ImssaError
from imssa_lab.hal import CrossbarArray, Pulses
from twin.instruments.bench import BenchTwin


@dataclass
class Outcome:
    """What came of the operations.

    Attributes:
        good, failed: operations that returned, that raised an error of our tree (by type).
        wrong: answers that are not what the instrument measured for exactly this request.
        slowest: longest operation, as a share of its deadline; opened: connections made.
    """

    good: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    slowest: float = 0.0
    opened: int = 0


def random_operations(
    bench: BenchTwin,
    connect: Callable[[], CrossbarArray],
    is_closed: Callable[[CrossbarArray], bool],
    deadline: float,
    operations: int,
    rng: np.random.Generator,
) -> Outcome:
    """Products, cell reads and pulses at random; each answer is held against what `bench` did. Other errors pass.

    Args:
        connect: opens the array, whose every operation has `deadline` s.
    """
    outcome = Outcome()
    array: CrossbarArray | None = None
    for _ in range(operations):
        started = time.monotonic()
        try:
            if array is None or is_closed(array):
                array = None
                array = connect()
                outcome.opened += 1
                continue
            right = _operation(array, bench, rng)
            outcome.good += 1
            outcome.wrong += not right
        except ImssaError as error:
            outcome.failed[type(error).__name__] += 1
        if array is not None:
            outcome.slowest = max(outcome.slowest, (time.monotonic() - started) / deadline)
    if array is not None:
        with suppress(ImssaError):
            array.close()
    return outcome


def _operation(array: CrossbarArray, bench: BenchTwin, rng: np.random.Generator) -> bool:
    """Whether one random operation gave what the bench measured for it."""
    kind = rng.integers(3)
    if kind == 0:
        voltages = rng.uniform(0, array.info.limits.read_voltage, (int(rng.integers(1, 9)), array.info.rows))
        currents = array.read_mvm(voltages)
        return _last_voltage(bench, "mvm", voltages) and np.array_equal(
            currents, bench.readout.current(bench.info.adc)
        )
    mask = rng.random(array.info.shape) < 0.3
    mask[0, 0] = True
    if kind == 1:
        conductances = array.read_conductances(mask)
        measured = bench.readout.current(bench.info.adc)[0] / bench.info.read_voltage
        asked = np.where(mask, bench.info.read_voltage, np.nan)
        return _last_voltage(bench, "cells", asked) and np.array_equal(conductances[mask], measured[mask])
    pulses = Pulses.on(mask, "SET", rng.uniform(0.5, 3.0, mask.shape), 1.0, 10e-6)
    array.apply_pulses(pulses)
    return _last_voltage(bench, "SET", pulses.voltage)


def _last_voltage(bench: BenchTwin, what: str, voltage: np.ndarray) -> bool:
    """Whether the last thing that the electrodes saw is this, and once."""
    driven = [entry for entry in bench.journal.entries[-4:] if entry.what not in ("on", "zero", "ground")]
    return bool(driven) and driven[-1].what == what and np.array_equal(driven[-1].voltage, voltage, equal_nan=True)
