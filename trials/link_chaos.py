"""Random operations on a link with random faults: no answer may be wrong, every failure has its type, in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import ImssaError
from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin


@dataclass
class Outcome:
    """What came of the operations.

    Attributes:
        good, failed: operations that returned, that raised an error of our tree (by type).
        wrong: answers that are not what the instrument measured for exactly this request.
        strange: errors that are not of our tree.
        undetectable: wrong answers after something that nothing on this wire can show, by its name in docs/faults.md.
        slowest: longest operation, as a share of its deadline; opened: connections made.
    """

    good: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    undetectable: Counter[str] = field(default_factory=Counter)
    strange: int = 0
    slowest: float = 0.0
    opened: int = 0

    def add(self, other: Outcome) -> None:
        """Count those of another trial with these."""
        self.good += other.good
        self.failed += other.failed
        self.wrong += other.wrong
        self.undetectable += other.undetectable
        self.strange += other.strange
        self.slowest = max(self.slowest, other.slowest)
        self.opened += other.opened


def random_operations(
    operation: Callable[[CrossbarArray, np.random.Generator], bool],
    connect: Callable[[], CrossbarArray],
    is_closed: Callable[[CrossbarArray], bool],
    deadline: float,
    operations: int,
    rng: np.random.Generator,
    excuse: Callable[[], str] = lambda: "",
) -> Outcome:
    """Operations at random.

    Args:
        operation: does one, and says whether it gave what the instrument really measured for it.
        connect: opens the array, whose every operation has `deadline` s.
        excuse: asked after each operation: the name of something undetectable that may have spoiled it, or "".
    """
    outcome = Outcome()
    array: CrossbarArray | None = None
    for _ in range(operations):
        started = time.monotonic()
        try:
            if array is None or is_closed(array):
                if array is not None:
                    with suppress(ImssaError):
                        array.close()  # an instrument whose link is still open takes no second client
                array = None
                array = connect()
                outcome.opened += 1
                continue
            right = operation(array, rng)
            outcome.good += 1
            name = excuse()
            if not right and name:
                outcome.undetectable[name] += 1
            else:
                outcome.wrong += not right
        except ImssaError as error:
            outcome.failed[type(error).__name__] += 1
            excuse()
        except Exception as error:  # noqa: BLE001 - that it may be anything is what is measured here
            outcome.failed[repr(error)] += 1
            outcome.strange += 1
            excuse()
        if array is not None:
            outcome.slowest = max(outcome.slowest, (time.monotonic() - started) / deadline)
    if array is not None:
        with suppress(ImssaError):
            array.close()
    return outcome


def on_scpi(bench: BenchTwin) -> Callable[[CrossbarArray, np.random.Generator], bool]:
    """Products, cell reads and pulses on an array tester with `bench` inside."""

    def operation(array: CrossbarArray, rng: np.random.Generator) -> bool:
        if rng.integers(3) == 0:
            voltages = rng.uniform(0, array.info.limits.read_voltage, (int(rng.integers(1, 9)), array.info.rows))
            currents = array.read_mvm(voltages)
            measured = bench.readout.current(bench.info.adc)
            return _saw(bench, "mvm", voltages) and np.array_equal(currents, measured)
        return _cells(array, bench, rng)

    return operation


def _cells(array: CrossbarArray, bench: BenchTwin, rng: np.random.Generator) -> bool:
    mask = rng.random(array.info.shape) < 0.3
    mask[0, 0] = True
    if rng.integers(2):
        conductances = array.read_conductances(mask)
        measured = bench.readout.current(bench.info.adc)[0] / array.info.read_voltage
        return _saw(bench, "cells", np.where(mask, array.info.read_voltage, np.nan)) and np.allclose(
            conductances[mask], measured[mask], rtol=1e-12
        )
    pulses = Pulses.on(mask, "SET", rng.uniform(0.5, 3.0, mask.shape), 1.0, 10e-6)
    array.apply_pulses(pulses)
    return _saw(bench, "SET", pulses.voltage)


def _saw(bench: BenchTwin, what: str, voltage: FloatArray) -> bool:
    """Whether the last thing that the electrodes saw is this."""
    driven = [entry for entry in bench.journal.tail(6) if entry.what not in ("on", "zero", "ground")]
    return bool(driven) and driven[-1].what == what and alike(driven[-1].voltage, voltage)


def alike(one: FloatArray, other: FloatArray, within: float = 1e-9) -> bool:
    """Whether these are the same `within` a rounding, NaN where the other is."""
    return one.shape == other.shape and np.allclose(one, other, rtol=0.0, atol=within, equal_nan=True)
