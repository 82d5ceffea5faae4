"""Compiled loops for what a twin does most: small products, their noise, and the converter.

They give the bits of the numpy code of `exact_products`, `twin.noise` and `twin.periphery.converter`: sums are exact,
so their order is free, and everything else is one IEEE operation at a time, without contraction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.compiled_reads import draw
from twin.fast.compiled_sums import BY_HAND
from twin.fast.exact_products import SQUARE_GRID

_AT_ONCE = 128
_TO_GRID = 1.5 * 2.0**52 * SQUARE_GRID


@compiled
def square(volt: float) -> float:
    """V^2, on the grid of `twin.fast.exact_products.on_grid`."""
    return (volt * volt + _TO_GRID) - _TO_GRID


@compiled
def codes_and_squares(
    voltages: FloatArray, step: float, shares: FloatArray, codes: FloatArray, squares: FloatArray
) -> None:
    """Multiples of `step` (V) that converters make of voltages, and squares of what cells see (V^2, on a grid).

    All of shape (n, rows) but `shares` (rows,): how much of a word line's voltage acts. The last two are written.
    """
    for k in range(voltages.shape[0]):
        for i in range(voltages.shape[1]):
            code = np.rint(voltages[k, i] / step)
            codes[k, i] = code
            squares[k, i] = square(code * step * shares[i])


@compiled
def products(
    codes: FloatArray,
    squares: FloatArray,
    slices: FloatArray,
    variance: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """Both matrix products, `first` (n, 2 cols) = codes @ slices and `second` (n, cols) = squares @ variance."""
    if len(codes) > BY_HAND:
        np.dot(codes, slices, first)
        np.dot(squares, variance, second)
        return
    cols = variance.shape[1]
    for k in range(codes.shape[0]):
        first[k] = 0.0
        second[k] = 0.0
        for i in range(codes.shape[1]):
            code, square = codes[k, i], squares[k, i]
            for j in range(cols):
                first[k, j] += code * slices[i, j]
                first[k, cols + j] += code * slices[i, cols + j]
                second[k, j] += square * variance[i, j]


@compiled
def codes_of(
    amperes: FloatArray,
    scales: FloatArray,
    top: float,
    signed: bool,
    full_scale: FloatArray,
    chosen: FloatArray,
    values: Any,
    ranges: Any,
) -> None:
    """Converter codes and ranges of currents, A; the rest as `convert` has it.

    All (cols,) but `scales`. `full_scale` and `chosen` are room to work in: with loops as plain as these the
    compiler handles several currents at once.
    """
    cols = len(amperes)
    full_scale[:], chosen[:] = scales[0, 0], 0.0
    for i in range(1, scales.shape[1]):
        most, scale, number = scales[1, i - 1], scales[0, i], float(i)
        for j in range(cols):
            size = abs(amperes[j]) if signed else amperes[j]
            above = most < size
            full_scale[j] = scale if above else full_scale[j]
            chosen[j] = number if above else chosen[j]
    for j in range(cols):
        share = amperes[j] / full_scale[j]
        code = np.rint(min(abs(share), 1.0) * top)
        if share < 0.0:
            code = -code if signed else 0.0
        values[j] = code
        ranges[j] = chosen[j]


@compiled
def convert(
    sums: FloatArray,
    step: float,
    variances: FloatArray,
    drawn: FloatArray,
    columns: FloatArray,
    scales: FloatArray,
    top: float,
    signed: bool,
    values: Any,
    ranges: Any,
) -> None:
    """Converter codes and ranges, (n, cols), of products with their noise, behind the column amplifiers.

    Args:
        sums: of both slices, (n, 2 cols), in steps (V) times S.
        variances: of their noise, A^2; drawn: standard normal.
        columns: gain, offset in A, and how much of the cells' noise arrives, (3, cols).
        scales: full scales, A, ascending, and where the next range is taken, A, (2, ranges). top: the largest code.
    """
    n, cols = variances.shape
    amperes, full_scale, chosen = np.empty(cols), np.empty(cols), np.empty(cols)
    for k in range(n):
        for j in range(cols):
            amperes[j] = (
                columns[0, j]
                * (step * (sums[k, j] + sums[k, cols + j]) + columns[2, j] * (drawn[k, j] * np.sqrt(variances[k, j])))
                + columns[1, j]
            )
        codes_of(amperes, scales, top, signed, full_scale, chosen, values[k], ranges[k])


@compiled
def read(
    voltages: FloatArray,
    step: float,
    shares: FloatArray,
    slices: FloatArray,
    variance: FloatArray,
    drawn: FloatArray,
    columns: FloatArray,
    scales: FloatArray,
    top: float,
    signed: bool,
    values: Any,
    ranges: Any,
) -> None:
    """All of a read in one call, for as many vectors as fit the processor's cache."""
    codes, squares = np.empty(voltages.shape), np.empty(voltages.shape)
    codes_and_squares(voltages, step, shares, codes, squares)
    sums, variances = np.empty((len(drawn), slices.shape[1])), np.empty(drawn.shape)
    products(codes, squares, slices, variance, sums, variances)
    convert(sums, step, variances, drawn, columns, scales, top, signed, values, ranges)


@compiled
def read_many(
    voltages: FloatArray,
    step: float,
    shares: FloatArray,
    slices: FloatArray,
    variance: FloatArray,
    noise: Any,
    columns: FloatArray,
    scales: FloatArray,
    top: float,
    signed: bool,
    values: Any,
    ranges: Any,
) -> None:
    """The same in blocks for any number of voltages (n, rows), V; to take over `noise`, the generator, takes long."""
    for start in range(0, len(voltages), _AT_ONCE):
        block = slice(start, min(start + _AT_ONCE, len(voltages)))
        drawn = np.empty((block.stop - start, variance.shape[1]))
        draw(noise, drawn)
        volts, codes, chosen = voltages[block], values[block], ranges[block]
        read(volts, step, shares, slices, variance, drawn, columns, scales, top, signed, codes, chosen)


@compiled
def read_cells(
    conductance: FloatArray,
    variance: FloatArray,
    noise: Any,
    voltage: float,
    scales: FloatArray,
    top: float,
    signed: bool,
    values: Any,
    ranges: Any,
) -> None:
    """Converter codes and ranges, (n, rows, cols), of n reads of single cells at `voltage` (V).

    Args:
        conductance, variance: S and S^2, (rows, cols); noise: the generator. The rest as `convert` has it.
    """
    rows, cols = conductance.shape
    drawn = np.empty((1, cols))
    amperes, full_scale, chosen = np.empty(cols), np.empty(cols), np.empty(cols)
    for k in range(values.shape[0]):
        for i in range(rows):
            draw(noise, drawn)
            for j in range(cols):
                amperes[j] = (conductance[i, j] + drawn[0, j] * np.sqrt(variance[i, j])) * voltage
            codes_of(amperes, scales, top, signed, full_scale, chosen, values[k, i], ranges[k, i])
