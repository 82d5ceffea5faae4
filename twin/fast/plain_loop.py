"""`closed_loop` of the contract on a twin whose reads are plain: the loops of `plain_products`, step after step."""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.compiled_reads import draw
from twin.fast.plain_products import convert, products, square


@compiled
def drive(
    state: FloatArray,
    spreads: FloatArray,
    lines: Any,
    numbers: FloatArray,
    step: float,
    voltages: FloatArray,
    codes: FloatArray,
    squares: FloatArray,
) -> None:
    """Word-line voltages of one read, and their codes and squares of driven lines alone.

    Args:
        state: [u, x] of the bank, (n, entries). lines: word line of each entry. step: of the DAC, V.
        numbers: V at full scale and the share of a line's voltage that acts, (2, entries).
        voltages: written, (averages * n, rows); codes, squares: written, (averages * n, entries).
    """
    n = len(state)
    voltages[:] = 0.0
    for number in range(len(spreads)):
        for k in range(n):
            m = number * n + k
            for e in range(state.shape[1]):
                volt = numbers[0, e] * min(max(state[k, e] + spreads[number], -1.0), 1.0)
                voltages[m, lines[e]] = volt
                code = np.rint(volt / step)
                codes[m, e] = code
                squares[m, e] = square(code * step * numbers[1, e])


@compiled
def advance(
    values: Any,
    ranges: Any,
    adc: FloatArray,
    calibration: FloatArray,
    plus: Any,
    begins: Any,
    numbers: FloatArray,
    keep: FloatArray,
    averages: int,
    state: FloatArray,
    outputs: FloatArray,
) -> None:
    """Next states and outputs from the codes of one read.

    Args:
        values, ranges: (averages * n, cols). adc: scale and offset of the ranges, A, (2, ranges).
        calibration: gain and offset of the columns, (2, cols); (2, 0) without one.
        plus: bit line of each entry, (entries,). begins: first entry of each kernel, and the end, (kernels + 1,).
        numbers: what a pair's current counts, 1/A, (entries,). keep: (kernels,).
        state: (n, entries), written where x stands; outputs: written, (n, kernels).
    """
    n = len(state)
    pair = np.empty(2)
    for k in range(n):
        for q in range(len(keep)):
            for e in range(begins[q], begins[q + 1]):
                for side in range(2):
                    column = plus[e] + side
                    total = 0.0
                    for number in range(averages):
                        at = ranges[number * n + k, column]
                        current = adc[0, at] * values[number * n + k, column] + adc[1, at]
                        if calibration.shape[1]:
                            current = calibration[0, column] * current + calibration[1, column]
                        total = current if number == 0 else total + current
                    pair[side] = total / averages
                out = (pair[0] - pair[1]) * numbers[e]
                if e + 1 < begins[q + 1]:
                    state[k, e + 1] = min(max(keep[q] * state[k, e + 1] + out, -1.0), 1.0)
                else:
                    outputs[k, q] = out


@compiled
def run(
    inputs: FloatArray,
    state: FloatArray,
    spreads: FloatArray,
    banks: Any,
    begins: Any,
    lines: Any,
    numbers: FloatArray,
    kernels: FloatArray,
    step: float,
    slices: FloatArray,
    variance: FloatArray,
    noise: Any,
    columns: FloatArray,
    scales: FloatArray,
    top: float,
    signed: bool,
    adc: FloatArray,
    calibration: FloatArray,
    outputs: FloatArray,
    voltages: FloatArray,
    values: Any,
    ranges: Any,
) -> None:
    """All steps.

    Args:
        inputs: (steps, n, kernels). state: (n, entries), changed: an entry is a line of a kernel, [u, x], in order.
        banks: first kernel of each bank, and the end. begins: first entry of each kernel, and the end.
        lines: word line and positive bit line of each entry, (2, entries).
        numbers: V at full scale, share, and what a pair's current counts, (3, entries).
        kernels: input scale and keep, (2, kernels).
        slices, variance: rows of `SteppedProduct.slices` and of the variances for each entry.
        noise: the generator. columns, scales, top, signed: as `convert` has them. adc, calibration: as `advance`.
        outputs: written, (steps, n, kernels). voltages, values, ranges: written, (steps * banks, averages * n, ...).
    """
    vectors, cols = values.shape[1:]
    sums, variances, drawn = np.empty((vectors, 2 * cols)), np.empty((vectors, cols)), np.empty((vectors, cols))
    room, other_room = np.empty(vectors * state.shape[1]), np.empty(vectors * state.shape[1])
    read = 0
    for at in range(len(inputs)):
        for b in range(len(banks) - 1):
            first, last = banks[b], banks[b + 1]
            low, high = begins[first], begins[last]
            for q in range(first, last):
                for k in range(len(state)):
                    state[k, begins[q]] = inputs[at, k, q] / kernels[0, q]
            mine = state[:, low:high]
            codes = room[: vectors * (high - low)].reshape(vectors, high - low)
            squares = other_room[: vectors * (high - low)].reshape(vectors, high - low)
            drive(mine, spreads, lines[0, low:high], numbers[:2, low:high], step, voltages[read], codes, squares)
            products(codes, squares, slices[low:high], variance[low:high], sums, variances)
            draw(noise, drawn)
            convert(sums, step, variances, drawn, columns, scales, top, signed, values[read], ranges[read])
            advance(
                values[read],
                ranges[read],
                adc,
                calibration,
                lines[1, low:high],
                begins[first : last + 1] - low,
                numbers[2, low:high],
                kernels[1, first:last],
                len(spreads),
                mine,
                outputs[at, :, first:last],
            )
            read += 1
