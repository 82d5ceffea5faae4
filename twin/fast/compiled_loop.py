"""`closed_loop` of the contract on a twin: the reads of `compiled_reads`, step after step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imssa_lab.contract.closed_loop import ClosedLoop
from imssa_lab.contract.hal import ColumnCalibration, FloatArray
from imssa_lab.contract.jit import compiled, inner
from twin.fast.chip_memory import MOMENT, RANGES, ROOM, SAG, WEIGHTS, part_of
from twin.fast.compiled_digits import digits_in, room
from twin.fast.compiled_reads import AT_ONCE, as_lasting, by_library, read_block
from twin.fast.compiled_sums import some_rows, tables_in


class Wiring(NamedTuple):
    """What is where in a closed loop. An entry is a line of a kernel, [u, x], in order, bank after bank.

    Attributes:
        banks: first kernel of each bank, and the end; begins: first entry of each kernel, and the end.
        lines: word line and positive bit line of each entry, (2, entries).
        numbers: V at full scale, and what a pair's current counts, 1/A, (2, entries).
        kernels: input scale and keep, (2, kernels).
        spreads: what each read of a step adds, (averages,).
        calibration: gain and offset of the columns, (2, cols); (2, 0) without one.
        scale: A per code of the ranges, (ranges,).
        passes: reads of a step and bank: 2 where word lines take no sign.
        step: V of which voltages are whole multiples; 0 where they are continuous.
    """

    banks: Any
    begins: Any
    lines: Any
    numbers: FloatArray
    kernels: FloatArray
    spreads: FloatArray
    calibration: FloatArray
    scale: FloatArray
    passes: int
    step: float


def wiring(loop: ClosedLoop, passes: int, calibration: ColumnCalibration | None, scale: FloatArray) -> Wiring:
    """A closed loop as compiled loops take it; scale: of one code of each range, A, (ranges,)."""
    banks = loop.banks
    sizes = np.concatenate([np.full(len(bank.rows), bank.rows.shape[1]) for bank in banks])
    lines = [np.concatenate([getattr(bank, name).ravel() for bank in banks]) for name in ("rows", "plus")]
    numbers = [np.concatenate([getattr(bank, name).ravel() for bank in banks]) for name in ("drive", "per_ampere")]
    kernels = [np.concatenate([getattr(bank, name) for bank in banks]) for name in ("input_scale", "keep")]
    return Wiring(
        np.concatenate([[0], np.cumsum([len(bank.rows) for bank in banks])]),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.stack(lines),
        np.stack(numbers),
        np.stack(kernels),
        np.array(loop.spreads),  # one type for the compiler: what a loop holds is read-only
        np.zeros((2, 0)) if calibration is None else np.stack([calibration.gain, calibration.offset]),
        scale,
        passes,
        0.0 if loop.step is None else loop.step,
    )


@inner
def drive(wired: Wiring, low: int, high: int, state: FloatArray, voltages: FloatArray) -> None:
    """Word-line voltages of the reads of one step of a bank, (passes, averages * n, rows), written.

    Args:
        low, high: entries of the bank. state: [u, x] of all, (n, entries).
    """
    n = len(state)
    for number in range(voltages.shape[0]):
        for k in range(voltages.shape[1]):
            for row in range(voltages.shape[2]):
                voltages[number, k, row] = 0.0
    for number in range(len(wired.spreads)):
        for k in range(n):
            m = number * n + k
            for e in range(low, high):
                row = wired.lines[0, e]
                volt = wired.numbers[0, e] * min(max(state[k, e] + wired.spreads[number], -1.0), 1.0)
                if wired.step > 0.0:
                    volt = np.rint(volt / wired.step) * wired.step + 0.0  # as `LoopBank.voltages`
                if wired.passes == 1:
                    voltages[0, m, row] = volt
                elif volt > 0.0:
                    voltages[0, m, row] = volt
                elif volt < 0.0:
                    voltages[1, m, row] = -volt


@inner
def currents(wired: Wiring, values: Any, ranges: Any, at: int, total: FloatArray, one: FloatArray) -> None:
    """Add currents of all bit lines, A, that a read of one step says for vector `at`, to `total` (cols,).

    Args:
        values, ranges: (passes, averages * n, cols). one: room, (2, cols).
    """
    for number in range(wired.passes):
        said, amperes = values[number, at], one[number]
        if ranges.shape[2]:
            chosen = ranges[number, at]
            for j in range(len(total)):
                amperes[j] = said[j] * wired.scale[chosen[j]]
        else:
            for j in range(len(total)):
                amperes[j] = said[j]
        if wired.calibration.shape[1]:
            gain, offset = wired.calibration[0], wired.calibration[1]
            for j in range(len(total)):
                amperes[j] = gain[j] * amperes[j] + offset[j]
    positive, negative = one[0], one[1]
    if wired.passes == 2:
        for j in range(len(total)):
            total[j] += positive[j] - negative[j]
    else:
        for j in range(len(total)):
            total[j] += positive[j]


@inner
def advance(
    wired: Wiring,
    first: int,
    last: int,
    values: Any,
    ranges: Any,
    state: FloatArray,
    outputs: FloatArray,
    room_for: FloatArray,
) -> None:
    """Next states and outputs of the kernels `first` to `last` from the reads of one step, see `currents`.

    Args:
        state: (n, entries), written where x is; outputs: (n, kernels), written. room_for: (3, cols).
    """
    n, averages, total = len(state), len(wired.spreads), room_for[2]
    begins, plus, numbers, keep = wired.begins, wired.lines[1], wired.numbers[1], wired.kernels[1]
    for k in range(n):
        for j in range(len(total)):
            total[j] = 0.0
        for number in range(averages):
            currents(wired, values, ranges, number * n + k, total, room_for)
        if averages > 1:
            for j in range(len(total)):
                total[j] = total[j] / averages
        for q in range(first, last):
            end = begins[q + 1]
            for e in range(begins[q], end):
                out = (total[plus[e]] - total[plus[e] + 1]) * numbers[e]
                if e + 1 < end:
                    state[k, e + 1] = min(max(keep[q] * state[k, e + 1] + out, -1.0), 1.0)
                else:
                    outputs[k, q] = out


@compiled
def run(
    inputs: FloatArray,
    state: FloatArray,
    wired: Any,
    drawn: FloatArray,
    whole: FloatArray,
    places: Any,
    lasting: Any,
    written: Any,
) -> None:
    """Some steps.

    Args:
        inputs: (steps, n, kernels). state: [u, x], (n, entries), changed. wired: a `Wiring`.
        drawn: standard normal, (products, cols). whole, places: of a `ChipMemory`. lasting: a `Lasting` as a plain
            tuple, which is handed over faster.
        written: outputs (steps, n, kernels), and voltages, values and ranges (reads, averages * n, ...).
    """
    banks, begins, lines, numbers, kernels, spreads, calibration, scale, passes, step = wired
    named = Wiring(banks, begins, lines, numbers, kernels, spreads, calibration, scale, passes, step)
    outputs, voltages, values, ranges = written
    made, slow, digits = tables_in(whole, places), as_lasting(lasting), digits_in(whole, places, RANGES)
    pulse_weights, sag = part_of(whole, places, WEIGHTS)[0], part_of(whole, places, SAG)[0]
    moment, memory = part_of(whole, places, MOMENT)[0], part_of(whole, places, ROOM)[0]
    vectors, cols = voltages.shape[1], drawn.shape[1]
    library = by_library(made, vectors) and len(slow.level) == 0  # its conductances are those of all word lines
    of_entries = some_rows(made, lines[0]) if library else made
    sums = room(memory, AT_ONCE if library else made.pulses, voltages.shape[2], cols, made.slices.shape[1])
    currents_of = memory[: 3 * cols].reshape((3, cols))  # free between two products
    nothing, products, first = np.empty((0, cols)), vectors * made.pulses, 0
    for at in range(len(inputs)):
        for b in range(len(banks) - 1):
            low, high = begins[banks[b]], begins[banks[b + 1]]
            for q in range(banks[b], banks[b + 1]):
                for k in range(len(state)):
                    state[k, begins[q]] = inputs[at, k, q] / kernels[0, q]
            mine = slice(first, first + passes)
            drive(named, low, high, state, voltages[mine])
            for read in range(first, first + passes):
                read_block(
                    voltages[read],
                    lines[0, low:high],
                    drawn[read * products : (read + 1) * products],
                    nothing,
                    0,
                    made,
                    some_rows(of_entries, slice(low, high)) if library else made,
                    slow,
                    digits,
                    pulse_weights,
                    sag,
                    moment,
                    sums,
                    library,
                    values[read],
                    ranges[read],
                )
            advance(named, banks[b], banks[b + 1], values[mine], ranges[mine], state, outputs[at], currents_of)
            first += passes
