"""Compiled: what word lines add up to in every product, with noise that moves on the way.

All sums are of numbers on a grid (see `twin.fast.exact_products`), so they are exact and their order is free: the
pulses of a vector are added row by row, and a conductance that changes between two pulses is put right afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled, exact_sums, inlined, views
from twin.fast.chip_memory import NUMBERS, SHARES, SHOT, SLICES, THERMAL, WHITE, part_of
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


@views
def tables_in(whole: FloatArray, places: Any) -> Tables:
    """The tables of a chip in its memory: `whole` (size,) and `places` (parts, 3) of a `ChipMemory`."""
    numbers = part_of(whole, places, NUMBERS)[0]
    return Tables(
        int(numbers[0]),
        int(numbers[1]),
        numbers[2],
        numbers[3],
        part_of(whole, places, SHARES)[0],
        part_of(whole, places, SLICES),
        part_of(whole, places, WHITE),
        part_of(whole, places, SHOT),
        part_of(whole, places, THERMAL)[0],
    )


@compiled
def some_rows(tables: Tables, rows: Any) -> Tables:
    """Tables of some word lines."""
    shot = tables.shot[rows] if len(tables.shot) else tables.shot
    return Tables(
        tables.coding,
        tables.pulses,
        tables.step,
        tables.unit,
        tables.shares[rows],
        tables.slices[rows],
        tables.white[rows],
        shot,
        tables.thermal,
    )


class Lasting(NamedTuple):
    """Noise that lasts, as it is and as it is planned, see `twin.fluctuators`; all empty without.

    Attributes:
        slow: S, (rows, cols). level: of the fluctuators, (f,).
        when, which, value: planned refreshes, and of the fluctuator of each its amplitude, S, and its cell: to look
            these up one by one, all over the memory, takes longer than to make the sums right; all (refreshes,).
    """

    slow: FloatArray
    level: FloatArray
    amplitude: FloatArray
    cell: Any
    when: FloatArray
    which: Any
    value: FloatArray


@inlined
def weigh(tables: Tables, row: int, volt: float) -> tuple[float, float, float, float]:
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


@inlined
def is_on(coding: int, number: int, pulse: int) -> bool:
    """Whether a word line with this number is driven in this pulse of a vector."""
    if coding == SERIAL:
        return (number >> pulse) & 1 == 1
    return coding != UNARY or number > pulse


@inlined
def refresh(lasting: Lasting, at: int) -> tuple[int, int, float]:
    """Let one planned refresh happen: of the cell in which row and column, and how its conductance changes, S."""
    which = lasting.which[at]
    cell, size, shift = lasting.cell[at], lasting.amplitude[at], _SHIFT * SIEMENS_GRID
    after = (size * lasting.value[at] + shift) - shift
    change = after - ((size * lasting.level[which] + shift) - shift)
    lasting.level[which] = lasting.value[at]
    row, col = cell // lasting.slow.shape[1], cell % lasting.slow.shape[1]
    lasting.slow[row, col] += change
    return row, col, change


@inlined
def refresh_until(lasting: Lasting, at: int, clock: float) -> int:
    """Let the planned refreshes up to a device time (s) happen; which one comes next."""
    while at < len(lasting.when) and lasting.when[at] <= clock:
        refresh(lasting, at)
        at += 1
    return at


@exact_sums
def add_rows(sums: FloatArray, table: FloatArray, rows: Any, weights: FloatArray) -> None:
    """Sum of some rows of a table (n, width), each times its weight (n,), written to `sums`: see `Sums.on`.

    Eight at once: memory is slow.
    """
    k, count, width = 0, rows[-1], table.shape[1]
    for j in range(width):
        sums[j] = 0.0
    while k + 8 <= count:
        a, b, c, d = table[rows[k]], table[rows[k + 1]], table[rows[k + 2]], table[rows[k + 3]]
        e, f, g, h = table[rows[k + 4]], table[rows[k + 5]], table[rows[k + 6]], table[rows[k + 7]]
        p, q, r, s = weights[rows[k]], weights[rows[k + 1]], weights[rows[k + 2]], weights[rows[k + 3]]
        t, u, v, w = weights[rows[k + 4]], weights[rows[k + 5]], weights[rows[k + 6]], weights[rows[k + 7]]
        for j in range(width):
            sums[j] += ((p * a[j] + q * b[j]) + (r * c[j] + s * d[j])) + (
                (t * e[j] + u * f[j]) + (v * g[j] + w * h[j])
            )
        k += 8
    while k + 2 <= count:
        a, b, p, q = table[rows[k]], table[rows[k + 1]], weights[rows[k]], weights[rows[k + 1]]
        for j in range(width):
            sums[j] += p * a[j] + q * b[j]
        k += 2
    if k < count:
        a, p = table[rows[k]], weights[rows[k]]
        for j in range(width):
            sums[j] += p * a[j]


@inlined
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
    lasts, planned = len(lasting.level) > 0, len(lasting.when)
    next_refresh = refresh_until(lasting, next_refresh, clock)
    n, count, pulsed = high - low, 0, tables.coding == SERIAL or tables.coding == UNARY
    driven, numbers, weights = sums.driven, sums.numbers, sums.weights
    for e in range(len(lines)):
        row = lines[e]
        if volts[row] != 0.0:
            driven[count] = row
            if pulsed:
                numbers[row] = int(np.rint(abs(volts[row]) / tables.step))
            weights[0, row], weights[1, row], weights[2, row], weights[3, row] = weigh(tables, row, volts[row])
            count += 1
    for q in range(n):
        on, many = sums.on[q], 0
        for e in range(count):
            on[many] = driven[e]
            many += not pulsed or is_on(tables.coding, numbers[driven[e]], low + q)
        on[-1] = many
    for q in range(n):  # table by table: the processor's fastest cache holds one
        add_rows(sums.products[q], tables.slices, sums.on[q], weights[0])
    if lasts:
        for q in range(n):
            add_rows(sums.lasting[q], lasting.slow, sums.on[q], weights[1])
    for q in range(n):
        add_rows(sums.variance[q], tables.white, sums.on[q], weights[2])
    if len(tables.shot):
        for q in range(n):
            add_rows(sums.shot[q], tables.shot, sums.on[q], weights[3])
    for q in range(1, n):
        clock += period
        while next_refresh < planned and lasting.when[next_refresh] <= clock:
            row, col, change = refresh(lasting, next_refresh)
            next_refresh += 1
            if volts[row] != 0.0:
                for later in range(q, n):
                    if is_on(tables.coding, numbers[row], low + later):
                        sums.lasting[later, col] += weights[1, row] * change
    return next_refresh


@compiled
def sum_block(
    volts: FloatArray,
    lines: Any,
    tables: Tables,
    lasting: Lasting,
    next_refresh: int,
    clock: float,
    period: float,
    sums: Sums,
) -> int:
    """Sums of many vectors (n, rows) of one product each by the library's products; the refresh that comes next.

    The tables hold the rows of `lines` alone; with noise that lasts these are all rows. The rest as in `sum_vector`.
    """
    n, size = len(volts), len(volts) * len(lines)
    numbers = sums.block[0, :size].reshape((n, len(lines)))
    squares = sums.block[1, :size].reshape((n, len(lines)))
    sizes = sums.block[2, :size].reshape((n, len(lines)))
    seen = sums.block[3, :size].reshape((n, len(lines)))
    for k in range(n):
        for e in range(len(lines)):
            numbers[k, e], seen[k, e], squares[k, e], sizes[k, e] = weigh(tables, e, volts[k, lines[e]])
    if tables.slices.shape[1]:
        np.dot(numbers, tables.slices, sums.products[:n])
    np.dot(squares, tables.white, sums.variance[:n])
    if len(tables.shot):
        np.dot(sizes, tables.shot, sums.shot[:n])
    if len(lasting.level):
        next_refresh = refresh_until(lasting, next_refresh, clock)
        np.dot(seen, lasting.slow, sums.lasting[:n])
        for k in range(1, n):
            clock += period
            while next_refresh < len(lasting.when) and lasting.when[next_refresh] <= clock:
                row, col, change = refresh(lasting, next_refresh)
                next_refresh += 1
                for later in range(k, n):
                    sums.lasting[later, col] += seen[later, row] * change
    return next_refresh
