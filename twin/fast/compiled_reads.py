"""Compiled: products from word-line voltages to the codes of converters, all sections of a profile in one loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled, inlined, inner, views
from twin.fast.chip_memory import CELL_RANGES, KNOWN, MOMENT, RANGES, ROOM, SAG, WEIGHTS, part_of
from twin.fast.compiled_digits import GROUP, Digits, Sums, arrive, digitise, digits_in, room
from twin.fast.compiled_sums import ANALOG, BY_HAND, CONTINUOUS, Lasting, Tables, sum_block, sum_vector, tables_in

AT_ONCE = 128
TABLES, PLAN = 1, 2
"""What a read can lack: tables of the conductances as they are, refreshes planned up to its last product."""


@inner
def same(one: FloatArray, other: FloatArray) -> bool:
    """Whether two matrices of one shape are equal; NaN is equal to nothing."""
    for i in range(one.shape[0]):
        differs = False
        for j in range(one.shape[1]):
            differs |= one[i, j] != other[i, j]
        if differs:
            return False
    return True


@inlined
def by_library(tables: Tables, vectors: int) -> bool:
    """Whether so many vectors go through the library's matrix product."""
    return (tables.coding == ANALOG or tables.coding == CONTINUOUS) and vectors > BY_HAND


@inner
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
    library: bool,
    values: Any,
    ranges: Any,
) -> None:
    """Products from `first` on, as many as `drawn` has.

    Args:
        volts: V, (n, rows), lines: word lines that may be driven. drawn: standard normal, (products, cols).
        added: what else a product carries, A, (products, cols); (0, cols) for nothing.
        gathered: tables that hold the rows of `lines` alone. pulse_weights: what pulses count, (pulses,).
        sag: drain and what heals in a period, and the period, s. moment: device time, s, the share that is lost,
            the refresh that comes next, and the time of the last product, which `read` writes; changed.
        library: see `by_library`.
        values, ranges: written: codes (n, cols) of products with a converter, else currents in A with (n, 0).
    """
    pulses, last, k = tables.pulses, first + len(drawn), first
    lasts = len(lasting.level) > 0
    clock, lost, upcoming, cols = moment[0], moment[1], int(moment[2]), drawn.shape[1]
    while k < last:
        vector = k // pulses
        if library:
            n = min(AT_ONCE, last - k)
            upcoming = sum_block(volts[k : k + n], lines, gathered, lasting, upcoming, clock, sag[2], sums)
        else:
            low = k - vector * pulses
            n = min(pulses - low, last - k)
            upcoming = sum_vector(volts[vector], lines, low, low + n, tables, lasting, upcoming, clock, sag[2], sums)
        for q in range(0, n, GROUP):
            group = min(GROUP, n - q)
            for g in range(group):
                amperes = sums.amperes[g * cols : (g + 1) * cols]
                for j in range(cols):
                    amperes[j] = added[k - first + g, j] if len(added) else 0.0
                arrive(
                    sums,
                    q + g,
                    amperes,
                    tables.unit,
                    lasts,
                    tables.thermal,
                    drawn[k - first + g],
                    1.0 - lost,
                    digits.columns,
                )
                lost = (lost + sag[0] * (1.0 - lost)) * sag[1]
                clock += sag[2]
            if digits.ranges.shape[1]:
                digitise(sums, digits, group * cols)
            if len(digits.units):
                add_codes(sums, digits, k, group, pulse_weights, values, ranges)
            else:
                for g in range(group):
                    give(sums, digits, slice(g * cols, (g + 1) * cols), k + g, pulse_weights, values, ranges)
            k += group
    moment[0], moment[1], moment[2] = clock, lost, float(upcoming)


@inlined
def give(
    sums: Sums, digits: Digits, where: Any, product: int, pulse_weights: FloatArray, values: Any, ranges: Any
) -> None:
    """Write what one product says, from this slice of `sums`: codes, or its part of a vector's weighted sum, A."""
    codes, marks, amperes = sums.codes[where], sums.marks[where], sums.amperes[where]
    if ranges.shape[1]:
        chosen, range_of = values[product], ranges[product]
        for j in range(len(codes)):
            chosen[j] = codes[j]
            range_of[j] = marks[j]
        return
    pulses = len(pulse_weights)
    vector, pulse = product // pulses, product % pulses
    weight, total = pulse_weights[pulse], values[vector]
    if pulse == 0:
        for j in range(len(total)):
            total[j] = 0.0
    if digits.ranges.shape[1]:
        for j in range(len(codes)):
            total[j] += marks[j] * codes[j] * weight
    else:
        for j in range(len(codes)):
            total[j] += amperes[j] * weight


@inner
def add_codes(
    sums: Sums, digits: Digits, first: int, group: int, pulse_weights: FloatArray, values: Any, ranges: Any
) -> None:
    """Add what some pulses of one vector say to its sum, in steps; the last one makes it a code and a range.

    Args:
        first: number of the first product; `group` of them are in `sums`.
        pulse_weights: what pulses count, (pulses,).
        values, ranges: codes of vectors and their units, (n, cols); changed.
    """
    pulses, cols = len(pulse_weights), values.shape[1]
    vector, pulse = first // pulses, first % pulses
    said, total = values[vector], sums.step[:cols]
    for j in range(cols):
        total[j] = said[j] if pulse else 0.0
    for g in range(group):
        codes, marks = sums.codes[g * cols : (g + 1) * cols], sums.marks[g * cols : (g + 1) * cols]
        weight = pulse_weights[pulse + g]
        for j in range(cols):
            total[j] += marks[j] * codes[j] * weight
    if pulse + group == pulses:
        in_largest_unit(total, digits.units, sums.inverse[:cols], sums.amperes[:cols])
        chosen, range_of = sums.amperes, ranges[vector]
        for j in range(cols):
            range_of[j] = chosen[j]
        total = sums.inverse[:cols]
    for j in range(cols):
        said[j] = total[j]


@inner
def in_largest_unit(total: FloatArray, units: FloatArray, codes: FloatArray, chosen: FloatArray) -> None:
    """Whole numbers as whole numbers of the largest unit that each is a multiple of, and which one; (cols,)."""
    for j in range(len(total)):
        codes[j] = total[j]
        chosen[j] = 0.0
    for i in range(1, len(units)):
        unit, inverse = units[i], 1.0 / units[i]
        for j in range(len(total)):
            code = np.rint(total[j] * inverse)
            whole = code * unit == total[j]
            codes[j] = code if whole else codes[j]
            chosen[j] = i if whole else chosen[j]


@compiled
def read(
    conductance: FloatArray,
    volts: FloatArray,
    numbers: FloatArray,
    start: int,
    added: FloatArray,
    first: int,
    count: int,
    planned: bool,
    whole: FloatArray,
    places: Any,
    slow: FloatArray,
    level: FloatArray,
    amplitude: FloatArray,
    cell: Any,
    when: FloatArray,
    which: Any,
    value: FloatArray,
    values: Any,
    ranges: Any,
) -> int:
    """`read_block` for all word lines, as it is called. What is lacking, before anything: `TABLES`, `PLAN`, or 0.

    Args:
        conductance: of the cells, S, (rows, cols).
        numbers: standard normal, (size,); from `start` on they are for `count` products from `first` on.
        planned: whether it is known that no more refreshes need be planned.
        whole, places: of a `ChipMemory`. slow to value: a `Lasting`; tuples take much longer to be handed over.
            The rest as there.
    """
    if not same(conductance, part_of(whole, places, KNOWN)):
        return TABLES
    tables, noise = tables_in(whole, places), Lasting(slow, level, amplitude, cell, when, which, value)
    sag, moment = part_of(whole, places, SAG)[0], part_of(whole, places, MOMENT)[0]
    last = moment[0]
    for _ in range(count - 1):
        last += sag[2]
    moment[3] = last
    if not (planned or (len(when) and when[-1] > last)):
        return PLAN
    rows, cols = conductance.shape
    drawn = numbers[start : start + count * cols].reshape((count, cols))
    library = by_library(tables, len(volts))
    read_block(
        volts,
        np.arange(rows),
        drawn,
        added,
        first,
        tables,
        tables,
        noise,
        digits_in(whole, places, RANGES),
        part_of(whole, places, WEIGHTS)[0],
        sag,
        moment,
        room(
            part_of(whole, places, ROOM)[0], AT_ONCE if library else tables.pulses, rows, cols, tables.slices.shape[1]
        ),
        library,
        values,
        ranges,
    )
    return 0


@views
def as_lasting(parts: Any) -> Lasting:
    """A plain tuple by names."""
    slow, level, amplitude, cell, when, which, value = parts
    return Lasting(slow, level, amplitude, cell, when, which, value)


@compiled
def read_cells(
    cells: FloatArray,
    share: FloatArray,
    variance: FloatArray,
    slow: FloatArray,
    drawn: FloatArray,
    left: FloatArray,
    voltage: float,
    whole: FloatArray,
    places: Any,
    values: Any,
    ranges: Any,
) -> None:
    """One read of single cells at `voltage` (V): codes, or currents in A where there is no converter.

    Args:
        cells: what a read takes for their conductances, S; share: how much of their fluctuation it shows; variance:
            S^2, and slow: S, of that; drawn: standard normal; left: of sagging; all (rows, cols), but `slow` and
            `left` may be (0, cols) for none. whole, places: of a `ChipMemory`.
    """
    named, (rows, cols) = digits_in(whole, places, CELL_RANGES), cells.shape
    sums = room(part_of(whole, places, ROOM)[0], 1, 0, cols, 0)
    for i in range(rows):
        amperes = sums.amperes[:cols]
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
            digitise(sums, named, cols)
        give_cells(sums, named, i, values, ranges)


@inlined
def give_cells(sums: Sums, digits: Digits, row: int, values: Any, ranges: Any) -> None:
    """Write the codes, or currents in A, of one word line's cells."""
    for j in range(values.shape[1]):
        if ranges.shape[1]:
            values[row, j] = sums.codes[j]
            ranges[row, j] = sums.marks[j]
        elif digits.ranges.shape[1]:
            values[row, j] = sums.marks[j] * sums.codes[j] + 0.0
        else:
            values[row, j] = sums.amperes[j]
