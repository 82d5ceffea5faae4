"""Compiled: what word lines add up to in every product, with noise that moves on the way.

All sums are of numbers on a grid (see `twin.fast.exact_products`), so they are exact and their order is free: the
pulses of a vector are added row by row, and a conductance that changes between two pulses is put right afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.compiled_digits import Sums
from twin.fast.exact_products import MAGNITUDE_GRID, SIEMENS_GRID, SQUARE_GRID, VOLT_GRID

ANALOG, SERIAL, UNARY, CONTINUOUS = range(4)
BY_HAND = 12
"""Up to so many vectors a loop is faster than the library's matrix product."""
_SHIFT = 1.5 * 2.0**52


class Tables(NamedTuple):
    """What word lines weigh.

    Attributes:
        coding: ANALOG in steps, SERIAL or UNARY pulses, CONTINUOUS. pulses: products of a vector.
        step: of a coded voltage, V; unit: V of which single products are whole multiples.
        shares: of a word line's voltage that noise sees, (rows,).
        slices: of the conductances, S, (rows, cols or 2 cols); (rows, 0) where products come from elsewhere.
        white: variance of the cells, S^2, (rows, cols). shot: A^2 per V, (rows, cols); (0, cols) without.
        thermal: A^2, (cols,); (0,) without.
    """

    coding: int
    pulses: int
    step: float
    unit: float
    shares: FloatArray
    slices: FloatArray
    white: FloatArray
    shot: FloatArray
    thermal: FloatArray


class Lasting(NamedTuple):
    """Noise that lasts, as it is and as it is planned, see `twin.fluctuators`; all empty without.

    Attributes:
        slow: S, (rows, cols). level, amplitude, cell: of the fluctuators. when, which, value: refreshes to come.
    """

    slow: FloatArray
    level: FloatArray
    amplitude: FloatArray
    cell: Any
    when: FloatArray
    which: Any
    value: FloatArray


@compiled
def weights(tables: Tables, row: int, volt: float) -> tuple[float, float, float, float]:
    """Of a word line at a voltage (V) in one product: for slices, slow conductances, variances and shot noise."""
    if tables.coding == ANALOG:
        number = np.rint(volt / tables.step)
        driven = number * tables.step
    elif tables.coding == CONTINUOUS:
        number, driven = 0.0, volt
    else:
        number = 1.0 if volt > 0.0 else -1.0
        driven = number * tables.unit
    seen = driven * tables.shares[row]
    shift, fine, finest = _SHIFT * VOLT_GRID, _SHIFT * SQUARE_GRID, _SHIFT * MAGNITUDE_GRID
    return number, (seen + shift) - shift, (seen * seen + fine) - fine, (abs(seen) + finest) - finest


@compiled
def is_on(coding: int, number: int, pulse: int) -> bool:
    """Whether a word line with this number is driven in this pulse of a vector."""
    if coding == SERIAL:
        return (number >> pulse) & 1 == 1
    return coding != UNARY or number > pulse


@compiled
def refresh(lasting: Lasting, at: int) -> tuple[int, float]:
    """Let one planned refresh happen: which cell, and by how much its conductance changes, S."""
    which = lasting.which[at]
    cell, size, shift = lasting.cell[which], lasting.amplitude[which], _SHIFT * SIEMENS_GRID
    after = (size * lasting.value[at] + shift) - shift
    change = after - ((size * lasting.level[which] + shift) - shift)
    lasting.level[which] = lasting.value[at]
    cols = lasting.slow.shape[1]
    lasting.slow[cell // cols, cell % cols] += change
    return cell, change


@compiled
def add_rows(sums: FloatArray, at: int, table: FloatArray, rows: Any, numbers: FloatArray, count: int) -> None:
    """Add `count` rows of a table (n, width), each so many times, to a row of sums; four at once: memory is slow."""
    k, width = 0, table.shape[1]
    while k + 4 <= count:
        a, b, c, d = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        p, q, r, s = numbers[k], numbers[k + 1], numbers[k + 2], numbers[k + 3]
        for j in range(width):
            sums[at, j] += (p * table[a, j] + q * table[b, j]) + (r * table[c, j] + s * table[d, j])
        k += 4
    while k < count:
        a, p = rows[k], numbers[k]
        for j in range(width):
            sums[at, j] += p * table[a, j]
        k += 1


@compiled
def sum_vector(
    volts: FloatArray,
    lines: Any,
    low: int,
    high: int,
    tables: Tables,
    lasting: Lasting,
    next_refresh: int,
    clock: float,
    period: float,
    sums: Sums,
) -> int:
    """Sums of the pulses `low` to `high` of a vector, to the first places of `sums`; the refresh that comes next.

    Args:
        volts: V, (rows,). lines: word lines that may be driven. clock: of the first of these products; period: s.
    """
    lasts, cols = len(lasting.level) > 0, lasting.slow.shape[1]
    while lasts and lasting.when[next_refresh] <= clock:
        refresh(lasting, next_refresh)
        next_refresh += 1
    n, driven = high - low, 0
    products, slow, variance, shot = sums.products, sums.lasting, sums.variance, sums.shot
    products[:n], slow[:n], variance[:n], shot[:n] = 0.0, 0.0, 0.0, 0.0
    rows, counts, numbers = np.empty(len(lines), np.int64), np.empty(len(lines), np.int64), np.empty((4, len(lines)))
    for e in range(len(lines)):
        row = lines[e]
        if volts[row] != 0.0:
            rows[driven] = row
            if tables.coding == SERIAL or tables.coding == UNARY:
                counts[driven] = int(np.rint(abs(volts[row]) / tables.step))
            numbers[0, driven], numbers[1, driven], numbers[2, driven], numbers[3, driven] = weights(
                tables, row, volts[row]
            )
            driven += 1
    here, taken = np.empty(driven, np.int64), np.empty((4, driven))
    for q in range(n):
        count = 0
        for e in range(driven):
            if is_on(tables.coding, counts[e], low + q):
                here[count] = rows[e]
                for kind in range(4):
                    taken[kind, count] = numbers[kind, e]
                count += 1
        add_rows(products, q, tables.slices, here, taken[0], count)
        add_rows(variance, q, tables.white, here, taken[2], count)
        if lasts:
            add_rows(slow, q, lasting.slow, here, taken[1], count)
        if len(tables.shot):
            add_rows(shot, q, tables.shot, here, taken[3], count)
    for q in range(1, n):
        clock += period
        while lasts and lasting.when[next_refresh] <= clock:
            cell, change = refresh(lasting, next_refresh)
            next_refresh += 1
            row, col = cell // cols, cell % cols
            if volts[row] != 0.0:
                count, volt = int(np.rint(abs(volts[row]) / tables.step)), weights(tables, row, volts[row])[1]
                for later in range(q, n):
                    if is_on(tables.coding, count, low + later):
                        slow[later, col] += volt * change
    return next_refresh


@compiled
def sum_block(volts: FloatArray, lines: Any, tables: Tables, sums: Sums) -> None:
    """Sums of many vectors (n, rows) of one product each by the library's products; nothing moves on the way.

    The tables hold the rows of `lines` alone.
    """
    n = len(volts)
    numbers, squares, sizes = np.empty((n, len(lines))), np.empty((n, len(lines))), np.empty((n, len(lines)))
    for k in range(n):
        for e in range(len(lines)):
            numbers[k, e], _, squares[k, e], sizes[k, e] = weights(tables, e, volts[k, lines[e]])
    if tables.slices.shape[1]:
        np.dot(numbers, tables.slices, sums.products[:n])
    np.dot(squares, tables.white, sums.variance[:n])
    if len(tables.shot):
        np.dot(sizes, tables.shot, sums.shot[:n])
