"""Random operations on a link with random faults: no answer may be wrong, every failure has its type, in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from drivers.supert_a0 import wire
from drivers.supert_a0.convert import DAC_OFFSET, dac_code, dac_voltage
from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.errors import ImssaError
from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.wire_faults import Flip


@dataclass
class Outcome:
    """What came of the operations.

    Attributes:
        good, failed: operations that returned, that raised an error of our tree (by type).
        wrong: answers that are not what the instrument measured for exactly this request.
        strange: errors that are not of our tree.
        undetectable: wrong answers after a flip that nothing on this wire can show, as the documentation lists them.
        slowest: longest operation, as a share of its deadline; opened: connections made.
    """

    good: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    undetectable: int = 0
    strange: int = 0
    slowest: float = 0.0
    opened: int = 0


def random_operations(
    operation: Callable[[CrossbarArray, np.random.Generator], bool],
    connect: Callable[[], CrossbarArray],
    is_closed: Callable[[CrossbarArray], bool],
    deadline: float,
    operations: int,
    rng: np.random.Generator,
    excuse: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Operations at random.

    Args:
        operation: does one, and says whether it gave what the instrument really measured for it.
        connect: opens the array, whose every operation has `deadline` s.
        excuse: asked after each operation: whether something undetectable happened during it.
    """
    outcome = Outcome()
    array: CrossbarArray | None = None
    for _ in range(operations):
        excuse()  # what happened before this one does not count
        started = time.monotonic()
        try:
            if array is None or is_closed(array):
                array = None
                array = connect()
                outcome.opened += 1
                continue
            right = operation(array, rng)
            outcome.good += 1
            if not right and excuse():
                outcome.undetectable += 1
            else:
                outcome.wrong += not right
        except ImssaError as error:
            outcome.failed[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - that it may be anything is what is measured here
            outcome.failed[repr(error)] += 1
            outcome.strange += 1
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
        return _cells(array, bench, rng, lambda volts: volts)

    return operation


def on_supert(bench: BenchTwin) -> Callable[[CrossbarArray, np.random.Generator], bool]:
    """Cell reads and pulses on the array of a superT A0 with `bench` inside, whole rows or single cells."""

    def operation(array: CrossbarArray, rng: np.random.Generator) -> bool:
        return _cells(array, bench, rng, lambda volts: dac_voltage(dac_code(volts, DAC_OFFSET), DAC_OFFSET))

    return operation


def undetectable_on_supert(flip: Flip) -> bool:
    """Whether docs/faults.md says of this flip that nothing can show it: exactly these, and no others.

    From the board: in a reading, the ten bits of the code, and a gain that becomes another one. To the board:
    anything but pins, ports, FIFOs, handshake and barrier.
    """
    if flip.to_instrument:
        return _number(flip.data) not in _SHOWN
    if len(flip.data) != 2 and len(flip.data) % wire.BLOCK:
        return False  # pattern, pins, acknowledge
    word = int.from_bytes(flip.data[flip.at & ~1 : (flip.at & ~1) + 2], "little") ^ 1 << (
        8 * (flip.at & 1) + flip.bit
    )
    return word >> 10 < len(wire.TIA_RESISTANCES)


def undetectable_loss_on_supert(data: bytes) -> bool:
    """Whether nothing can show that not all of these commands came: one of them is silent and moves no pin."""
    return any(number in data for number in _SILENT)


def _number(data: bytes) -> bytes:
    return data.lstrip(b"\0").split(b",")[0].rstrip(b"\0")


_SHOWN = (b"103", b"202", b"204", b"205", b"207", b"211", b"212")
_SILENT = (b"203,", b"214,", b"217,", b"218,", b"220,", b"405,", b"407,")


def _cells(
    array: CrossbarArray, bench: BenchTwin, rng: np.random.Generator, coded: Callable[[FloatArray], FloatArray]
) -> bool:
    mask = rng.random(array.info.shape) < 0.3
    mask[0, 0] = True
    if rng.integers(2):
        if array.info.shape != bench.info.shape:  # a block: one cell, so that the last reading is this one
            mask[:] = False
            mask[tuple(rng.integers(array.info.shape))] = True
        conductances = array.read_conductances(mask)
        measured = bench.readout.current(bench.info.adc)[0] / array.info.read_voltage
        whole = _placed(mask, bench.info.shape)
        return _saw(bench, "cells", np.where(whole, array.info.read_voltage, np.nan)) and np.allclose(
            conductances[mask], measured[whole], rtol=1e-12
        )
    pulses = Pulses.on(mask, "SET", rng.uniform(0.5, 3.0, mask.shape), 1.0, 10e-6)
    array.apply_pulses(pulses)
    voltage = np.full(bench.info.shape, np.nan)
    voltage[: mask.shape[0], : mask.shape[1]][mask] = coded(pulses.voltage[mask])
    return _saw(bench, "SET", voltage)


def _placed(mask: BoolArray, shape: tuple[int, int]) -> BoolArray:
    whole = np.zeros(shape, dtype=np.bool_)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    return whole


def _saw(bench: BenchTwin, what: str, voltage: FloatArray) -> bool:
    """Whether the last thing that the electrodes saw is this."""
    driven = [entry for entry in bench.journal.tail(6) if entry.what not in ("on", "zero", "ground")]
    return bool(driven) and driven[-1].what == what and _alike(driven[-1].voltage, voltage)


def _alike(one: FloatArray, other: FloatArray) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=0.0, atol=1e-9, equal_nan=True)
