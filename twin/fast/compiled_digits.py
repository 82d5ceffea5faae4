"""Compiled: from sums over word lines to currents, and from currents to the codes of converters.

The bits are those of `twin.noise`, `twin.periphery.columns` and `twin.periphery.converter`: one IEEE operation at a
time, in their order and without contraction. Loops are plain, so that the compiler handles several columns at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import inlined, inner, views
from twin.fast.chip_memory import COLUMNS, FAULTS, MISSING, NUMBERS, UNITS, part_of
from twin.periphery.converter import BEND

GROUP = 8
"""Products that are digitised at once: a loop over so many columns is worth its beginning."""


class Digits(NamedTuple):
    """Columns and converters of one chip.

    Attributes:
        columns: gain, offset (A), and how much of the cells' noise arrives, (3, cols).
        faults: gain, offset, bow and bend of converters, shares of the full scale, (4, GROUP * cols), over and over;
            (0, 0) for perfect ones.
        ranges: one over the full scales, 1/A, these ascending, where the next range is taken, A, and what marks a
            code of the range: its number, A per code where a read answers in amperes, or the steps of a code where
            products are sums of codes; (3, ranges), or (3, 0) without a converter.
        missing: up to which code, the step of codes up to there, and one over it, (3, parts); (3, 0) where all
            codes occur.
        top: the largest code. signed: whether negative currents have codes.
        units: of sums of codes, see `PulseSums`, (units,); (0,) where products are no such sums.
    """

    columns: FloatArray
    faults: FloatArray
    ranges: FloatArray
    missing: FloatArray
    top: float
    signed: bool
    units: FloatArray


@views
def digits_in(whole: FloatArray, places: Any, ranges: int) -> Digits:
    """Columns and converters in the memory of a chip: `whole` (size,) and `places` (parts, 3) of a `ChipMemory`.

    Args:
        ranges: which part has the ranges of the converters.
    """
    numbers = part_of(whole, places, NUMBERS)[0]
    return Digits(
        part_of(whole, places, COLUMNS),
        part_of(whole, places, FAULTS),
        part_of(whole, places, ranges),
        part_of(whole, places, MISSING),
        numbers[4],
        numbers[5] > 0.0,
        part_of(whole, places, UNITS)[0],
    )


class Sums(NamedTuple):
    """Room for what the word lines add up to, for some products at a time.

    Attributes:
        products: of both slices, (n, cols or 2 cols); lasting, variance, shot: (n, cols) each, see `Tables`.
        amperes, codes, marks, step, inverse: of a group of products, (GROUP * cols,).
        driven, numbers: word lines that are driven, and what they count, (rows,).
        on: word lines that are driven in each product, and in the last place how many these are, (n, rows + 1).
        weights: of word lines, by their number, in the four kinds of sums, (4, rows).
        block: the same in many vectors at a time, (4, n * rows).
    """

    products: FloatArray
    lasting: FloatArray
    variance: FloatArray
    shot: FloatArray
    amperes: FloatArray
    codes: FloatArray
    marks: FloatArray
    step: FloatArray
    inverse: FloatArray
    driven: Any
    numbers: Any
    on: Any
    weights: FloatArray
    block: FloatArray


def room_for(n: int, rows: int, cols: int) -> int:
    """Of how many numbers `room` makes its parts, for n products of shape (rows, cols)."""
    return 5 * (n + GROUP) * cols + 4 * (1 + n) * rows


@views
def room(whole: FloatArray, n: int, rows: int, cols: int, width: int) -> Sums:
    """Room for `n` products of shape (rows, cols) at a time, of slices `width` wide, in memory for n or more."""
    columns = whole[: 5 * GROUP * cols].reshape((5, GROUP * cols))
    sums = whole[5 * GROUP * cols :]
    others = sums[n * width : n * (width + 3 * cols)].reshape((3, n, cols))
    lines = np.empty((2, rows), np.uint32)  # without a sign no index is asked whether it counts from the end
    weights = sums[n * (width + 3 * cols) :]
    return Sums(
        sums[: n * width].reshape((n, width)),
        others[0],
        others[1],
        others[2],
        columns[0],
        columns[1],
        columns[2],
        columns[3],
        columns[4],
        lines[0],
        lines[1],
        np.empty((n, rows + 1), np.uint32),
        weights[: 4 * rows].reshape((4, rows)),
        weights[4 * rows : 4 * (1 + n) * rows].reshape((4, n * rows)),
    )


@inlined
def arrive(
    sums: Sums,
    at: int,
    amperes: FloatArray,
    unit: float,
    lasts: bool,
    thermal: FloatArray,
    drawn: Any,
    left: float,
    columns: FloatArray,
) -> None:
    """Currents behind the column amplifiers, A, to `amperes`; in there is what else a product carries, A; (cols,).

    Args:
        at: which of the sums. unit: V, of the products. lasts: whether there is noise that lasts.
        thermal: A^2, (cols,); (0,) without electronic noise. drawn: standard normal, (cols,). left: of sagging.
    """
    cols = len(amperes)
    products, lasting, variance = sums.products[at], sums.lasting[at], sums.variance[at]
    gain, offset, share = columns[0], columns[1], columns[2]
    if len(thermal):
        shot = sums.shot[at]
        for j in range(cols):
            variance[j] += thermal[j] + shot[j]
    if lasts and len(products) == cols:
        for j in range(cols):
            noise = drawn[j] * np.sqrt(variance[j]) + lasting[j]
            amperes[j] = left * (gain[j] * (unit * products[j] + amperes[j] + share[j] * noise) + offset[j])
        return
    if len(products) == 2 * cols:
        for j in range(cols):
            amperes[j] = unit * (products[j] + products[cols + j]) + amperes[j]
    elif len(products) == cols:
        for j in range(cols):
            amperes[j] = unit * products[j] + amperes[j]
    if lasts:
        for j in range(cols):
            noise = drawn[j] * np.sqrt(variance[j]) + lasting[j]
            amperes[j] = left * (gain[j] * (amperes[j] + share[j] * noise) + offset[j])
    else:
        for j in range(cols):
            noise = drawn[j] * np.sqrt(variance[j])
            amperes[j] = left * (gain[j] * (amperes[j] + share[j] * noise) + offset[j])


@inlined
def digitise(sums: Sums, digits: Digits, size: int) -> None:
    """Codes of as many `sums.amperes`, and the marks of the ranges they are in, to `sums`."""
    amperes, codes, top = sums.amperes[:size], sums.codes[:size], digits.top
    choose_range(amperes, digits.ranges, digits.signed, codes, sums.marks)
    if len(digits.faults):
        bend(codes, digits.faults)
    if digits.missing.shape[1]:
        with_missing(codes, digits.missing, top, amperes, sums.step, sums.inverse)
    else:
        for j in range(size):
            code = np.rint(min(abs(codes[j]), 1.0) * top)
            codes[j] = -code if codes[j] < 0.0 else code
    if not digits.signed:
        for j in range(size):
            codes[j] = codes[j] if codes[j] > 0.0 else 0.0


@inner
def choose_range(
    amperes: FloatArray, ranges: FloatArray, signed: bool, shares: FloatArray, marks: FloatArray
) -> None:
    """Shares of the full scale of the smallest range whose headroom holds each current, and its mark; all (n,)."""
    scale, mark = ranges[0, 0], ranges[2, 0]
    for j in range(len(amperes)):
        shares[j] = amperes[j] * scale
        marks[j] = mark
    i = 1
    while i + 1 < ranges.shape[1]:  # two at once: memory is slow
        most, scale, mark = ranges[1, i - 1], ranges[0, i], ranges[2, i]
        next_most, next_scale, next_mark = ranges[1, i], ranges[0, i + 1], ranges[2, i + 1]
        for j in range(len(amperes)):
            size = abs(amperes[j]) if signed else amperes[j]
            share = amperes[j] * scale if most < size else shares[j]
            shares[j] = amperes[j] * next_scale if next_most < size else share
            marked = mark if most < size else marks[j]
            marks[j] = next_mark if next_most < size else marked
        i += 2
    if i < ranges.shape[1]:
        most, scale, mark = ranges[1, i - 1], ranges[0, i], ranges[2, i]
        for j in range(len(amperes)):
            size = abs(amperes[j]) if signed else amperes[j]
            shares[j] = amperes[j] * scale if most < size else shares[j]
            marks[j] = mark if most < size else marks[j]


@inner
def bend(shares: FloatArray, faults: FloatArray) -> None:
    """What a converter with faults takes shares of its full scale for, (n,), see `bow_and_bend`."""
    gain, offset, bow, bent = faults[0], faults[1], faults[2], faults[3]
    for j in range(len(shares)):
        share = shares[j]
        size = min(abs(share), 1.0)
        hump = 4.0 * (size * (1.0 - size))
        once = -hump if share < 0.0 else hump
        twice = BEND * (once * (1.0 - 2.0 * size))
        shares[j] = gain[j] * share + offset[j] + bow[j] * once + bent[j] * twice


@inner
def with_missing(
    codes: FloatArray, missing: FloatArray, top: float, size: FloatArray, step: FloatArray, inverse: FloatArray
) -> None:
    """Shares of the full scale to the codes that there are, (n,); the last three are room to work in."""
    first, one_over = missing[1, 0], missing[2, 0]
    for j in range(len(codes)):
        size[j] = min(abs(codes[j]), 1.0) * top
        step[j] = first
        inverse[j] = one_over
    i = 1
    while i + 1 < missing.shape[1]:
        most, wide, one_over = missing[0, i - 1], missing[1, i], missing[2, i]
        next_most, next_wide, next_over = missing[0, i], missing[1, i + 1], missing[2, i + 1]
        for j in range(len(codes)):
            above, far = most < size[j], next_most < size[j]
            near = wide if above else step[j]
            step[j] = next_wide if far else near
            over = one_over if above else inverse[j]
            inverse[j] = next_over if far else over
        i += 2
    if i < missing.shape[1]:
        most, wide, one_over = missing[0, i - 1], missing[1, i], missing[2, i]
        for j in range(len(codes)):
            above = most < size[j]
            step[j] = wide if above else step[j]
            inverse[j] = one_over if above else inverse[j]
    for j in range(len(codes)):
        code = min(np.rint(size[j] * inverse[j]) * step[j], top)
        codes[j] = -code if codes[j] < 0.0 else code
