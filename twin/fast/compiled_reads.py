"""Compiled: products from word-line voltages to the codes of converters, all sections of a profile in one loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.compiled_digits import Digits, Sums, arrive, digitise, room
from twin.fast.compiled_sums import ANALOG, BY_HAND, CONTINUOUS, Lasting, Tables, sum_block, sum_vector

AT_ONCE = 128


@compiled
def same(one: FloatArray, other: FloatArray) -> bool:
    """Whether two matrices of one shape are equal; NaN is equal to nothing."""
    for i in range(one.shape[0]):
        differs = False
        for j in range(one.shape[1]):
            differs |= one[i, j] != other[i, j]
        if differs:
            return False
    return True


@compiled
def draw(noise: Any, drawn: FloatArray) -> None:
    """Standard normal numbers, written to `drawn` (n, cols), as the generator itself would give them."""
    for k in range(drawn.shape[0]):
        for j in range(drawn.shape[1]):
            drawn[k, j] = noise.standard_normal()


@compiled
def by_library(tables: Tables, lasting: Lasting, vectors: int) -> bool:
    """Whether so many vectors go through the library's matrix product."""
    one_product = tables.coding == ANALOG or tables.coding == CONTINUOUS
    return one_product and vectors > BY_HAND and len(lasting.level) == 0


@compiled
def read_block(
    volts: FloatArray,
    lines: Any,
    drawn: FloatArray,
    added: FloatArray,
    first: int,
    tables: Tables,
    gathered: Tables,
    lasting: Lasting,
    digits: Digits,
    pulse_weights: FloatArray,
    sag: FloatArray,
    moment: FloatArray,
    sums: Sums,
    values: Any,
    ranges: Any,
) -> None:
    """Products from `first` on, as many as `drawn` has.

    Args:
        volts: V, (n, rows), lines: word lines that may be driven. drawn: standard normal, (products, cols).
        added: what else a product carries, A, (products, cols); (0, cols) for nothing.
        gathered: tables that hold the rows of `lines` alone. pulse_weights: what pulses count, (pulses,).
        sag: drain and what heals in a period, and the period, s. moment: device time, s, the share that is lost,
            and the refresh that comes next; changed.
        values, ranges: written: codes (n, cols) of products with a converter, else currents in A with (n, 0).
    """
    pulses, last, k = tables.pulses, first + len(drawn), first
    library, lasts = by_library(tables, lasting, len(volts)), len(lasting.level) > 0
    clock, lost, upcoming = moment[0], moment[1], int(moment[2])
    while k < last:
        vector = k // pulses
        if library:
            n = min(AT_ONCE, last - k)
            sum_block(volts[k : k + n], lines, gathered, sums)
        else:
            low = k - vector * pulses
            n = min(pulses - low, last - k)
            upcoming = sum_vector(volts[vector], lines, low, low + n, tables, lasting, upcoming, clock, sag[2], sums)
        for q in range(n):
            if len(added):
                sums.amperes[:] = added[k - first]
            else:
                sums.amperes[:] = 0.0
            arrive(sums, q, tables.unit, lasts, tables.thermal, drawn[k - first], 1.0 - lost, digits.columns)
            lost = (lost + sag[0] * (1.0 - lost)) * sag[1]
            clock += sag[2]
            if digits.ranges.shape[1]:
                digitise(sums, digits)
            give(sums, digits, k, pulse_weights, values, ranges)
            k += 1
    moment[0], moment[1], moment[2] = clock, lost, float(upcoming)


@compiled
def give(sums: Sums, digits: Digits, product: int, pulse_weights: FloatArray, values: Any, ranges: Any) -> None:
    """Write what one product says: codes, or its part of the weighted sum of a vector's pulses, A."""
    if ranges.shape[1]:
        for j in range(len(sums.codes)):
            values[product, j] = sums.codes[j]
            ranges[product, j] = sums.chosen[j]
        return
    vector, pulse = product // len(pulse_weights), product % len(pulse_weights)
    for j in range(len(sums.amperes)):
        ampere = sums.amperes[j]
        if digits.ranges.shape[1]:
            ampere = digits.ranges[2, int(sums.chosen[j])] * sums.codes[j] + 0.0  # codes have no -0
        ampere *= pulse_weights[pulse]
        values[vector, j] = ampere if pulse == 0 else values[vector, j] + ampere


@compiled
def read(
    conductance: FloatArray,
    known: FloatArray,
    volts: FloatArray,
    lines: Any,
    drawn: FloatArray,
    added: FloatArray,
    first: int,
    parts: Any,
    tables: Any,
    lasting: Any,
    digits: Any,
    values: Any,
    ranges: Any,
) -> bool:
    """`read_block` as it is called: plain tuples are handed over much faster. False, before anything: cells moved.

    Args:
        conductance, known: of the cells, and of the cells that tables were made for, S, (rows, cols).
        parts: pulse_weights, sag, moment. The rest as there.
    """
    if not same(conductance, known):
        return False
    pulse_weights, sag, moment = parts
    made = as_tables(tables)
    n = AT_ONCE if by_library(made, as_lasting(lasting), len(volts)) else made.pulses
    sums = room(n, drawn.shape[1], made.slices.shape[1])
    read_block(
        volts,
        lines,
        drawn,
        added,
        first,
        made,
        made,
        as_lasting(lasting),
        as_digits(digits),
        pulse_weights,
        sag,
        moment,
        sums,
        values,
        ranges,
    )
    return True


@compiled
def as_tables(parts: Any) -> Tables:
    """A plain tuple by names."""
    coding, pulses, step, unit, shares, slices, white, shot, thermal = parts
    return Tables(coding, pulses, step, unit, shares, slices, white, shot, thermal)


@compiled
def as_lasting(parts: Any) -> Lasting:
    """A plain tuple by names."""
    slow, level, amplitude, cell, when, which, value = parts
    return Lasting(slow, level, amplitude, cell, when, which, value)


@compiled
def as_digits(parts: Any) -> Digits:
    """A plain tuple by names."""
    columns, faults, ranges, missing, top, signed = parts
    return Digits(columns, faults, ranges, missing, top, signed)


@compiled
def read_cells(
    cells: FloatArray,
    share: FloatArray,
    variance: FloatArray,
    slow: FloatArray,
    drawn: FloatArray,
    left: FloatArray,
    voltage: float,
    digits: Any,
    values: Any,
    ranges: Any,
) -> None:
    """One read of single cells at `voltage` (V): codes, or currents in A where there is no converter.

    Args:
        cells: what a read takes for their conductances, S; share: how much of their fluctuation it shows; variance:
            S^2, and slow: S, of that; drawn: standard normal; left: of sagging; all (rows, cols), but `slow` and
            `left` may be (0, cols) for none.
    """
    named, (rows, cols) = as_digits(digits), cells.shape
    sums = room(1, cols, 0)
    amperes = sums.amperes
    for i in range(rows):
        for j in range(cols):
            amperes[j] = drawn[i, j] * np.sqrt(variance[i, j])
        if len(slow):
            for j in range(cols):
                amperes[j] += slow[i, j]
        for j in range(cols):
            amperes[j] = cells[i, j] + share[i, j] * amperes[j]
        if len(left):
            for j in range(cols):
                amperes[j] *= left[i, j]
        for j in range(cols):
            amperes[j] *= voltage
        if named.ranges.shape[1]:
            digitise(sums, named)
        give_cells(sums, named, i, values, ranges)


@compiled
def give_cells(sums: Sums, digits: Digits, row: int, values: Any, ranges: Any) -> None:
    """Write the codes, or currents in A, of one word line's cells."""
    for j in range(len(sums.codes)):
        if ranges.shape[1]:
            values[row, j] = sums.codes[j]
            ranges[row, j] = sums.chosen[j]
        elif digits.ranges.shape[1]:
            values[row, j] = digits.ranges[2, int(sums.chosen[j])] * sums.codes[j] + 0.0
        else:
            values[row, j] = sums.amperes[j]
