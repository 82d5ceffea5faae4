"""Compiled: from sums over word lines to currents, and from currents to the codes of converters.

The bits are those of `twin.noise`, `twin.periphery.columns` and `twin.periphery.converter`: one IEEE operation at a
time, in their order and without contraction. Loops are plain, so that the compiler handles several columns at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.periphery.converter import COSINE, SINE


class Digits(NamedTuple):
    """Columns and converters of one chip.

    Attributes:
        columns: gain, offset (A), and how much of the cells' noise arrives, (3, cols).
        faults: gain, offset, bow and bend of converters, shares of the full scale, (4, cols); (0, cols) for perfect
            ones.
        ranges: full scales, A, ascending, where the next range is taken, A, and A per code, (3, ranges); (3, 0)
            without a converter.
        missing: up to which code, and the step of codes up to there, (2, parts); (2, 0) where all codes occur.
        top: the largest code. signed: whether negative currents have codes.
    """

    columns: FloatArray
    faults: FloatArray
    ranges: FloatArray
    missing: FloatArray
    top: float
    signed: bool


class Sums(NamedTuple):
    """Room for what the word lines add up to, for some products at a time.

    Attributes:
        products: of both slices, (n, cols or 2 cols); lasting, variance, shot: (n, cols) each, see `Tables`.
        amperes, scale, chosen, codes: of one product, (cols,).
    """

    products: FloatArray
    lasting: FloatArray
    variance: FloatArray
    shot: FloatArray
    amperes: FloatArray
    scale: FloatArray
    chosen: FloatArray
    codes: FloatArray


@compiled
def room(n: int, cols: int, width: int) -> Sums:
    """Room for `n` products at a time, of slices `width` wide."""
    return Sums(
        np.empty((n, width)),
        np.empty((n, cols)),
        np.empty((n, cols)),
        np.empty((n, cols)),
        np.empty(cols),
        np.empty(cols),
        np.empty(cols),
        np.empty(cols),
    )


@compiled
def arrive(
    sums: Sums, at: int, unit: float, lasts: bool, thermal: FloatArray, drawn: Any, left: float, columns: FloatArray
) -> None:
    """Currents behind the column amplifiers, A, to `sums.amperes`; in there is what else a product carries, A.

    Args:
        at: which of the sums. unit: V, of the products. lasts: whether there is noise that lasts.
        thermal: A^2, (cols,); (0,) without electronic noise. drawn: standard normal, (cols,). left: of sagging.
    """
    amperes, cols = sums.amperes, len(sums.amperes)
    products, lasting, variance, shot = sums.products, sums.lasting, sums.variance, sums.shot
    if products.shape[1] == 2 * cols:
        for j in range(cols):
            amperes[j] = unit * (products[at, j] + products[at, cols + j]) + amperes[j]
    elif products.shape[1] == cols:
        for j in range(cols):
            amperes[j] = unit * products[at, j] + amperes[j]
    if len(thermal):
        for j in range(cols):
            variance[at, j] += thermal[j] + shot[at, j]
    if lasts:
        for j in range(cols):
            noise = drawn[j] * np.sqrt(variance[at, j]) + lasting[at, j]
            amperes[j] = left * (columns[0, j] * (amperes[j] + columns[2, j] * noise) + columns[1, j])
    else:
        for j in range(cols):
            noise = drawn[j] * np.sqrt(variance[at, j])
            amperes[j] = left * (columns[0, j] * (amperes[j] + columns[2, j] * noise) + columns[1, j])


@compiled
def digitise(sums: Sums, digits: Digits) -> None:
    """Codes of `sums.amperes`, the ranges they are in, and the A per code, to `sums`."""
    choose_range(sums.amperes, digits.ranges, digits.signed, sums.scale, sums.chosen)
    amperes, scale, codes, top = sums.amperes, sums.scale, sums.codes, digits.top
    for j in range(len(codes)):
        codes[j] = amperes[j] / scale[j]
    if len(digits.faults):
        bend(codes, digits.faults)
    if digits.missing.shape[1]:
        with_missing(codes, digits.missing, top, digits.signed, scale)
    elif digits.signed:
        for j in range(len(codes)):
            code = np.rint(min(abs(codes[j]), 1.0) * top)
            codes[j] = -code if codes[j] < 0.0 else code
    else:
        for j in range(len(codes)):
            code = np.rint(min(abs(codes[j]), 1.0) * top)
            codes[j] = code if codes[j] > 0.0 else 0.0


@compiled
def choose_range(
    amperes: FloatArray, ranges: FloatArray, signed: bool, scale: FloatArray, chosen: FloatArray
) -> None:
    """Full scale (A) and number of the smallest range whose headroom holds each current; all (cols,)."""
    scale[:], chosen[:] = ranges[0, 0], 0.0
    for i in range(1, ranges.shape[1]):
        most, wider, number = ranges[1, i - 1], ranges[0, i], float(i)
        for j in range(len(amperes)):
            size = abs(amperes[j]) if signed else amperes[j]
            above = most < size
            scale[j] = wider if above else scale[j]
            chosen[j] = number if above else chosen[j]


@compiled
def bend(shares: FloatArray, faults: FloatArray) -> None:
    """What a converter with faults takes shares of its full scale for, (cols,), see `bow_and_bend`."""
    for j in range(len(shares)):
        share = shares[j]
        beside = 0.5 - min(abs(share), 1.0)
        x = beside * beside
        sine = (((SINE[8] * x + SINE[7]) * x + SINE[6]) * x + SINE[5]) * x + SINE[4]
        sine = (((sine * x + SINE[3]) * x + SINE[2]) * x + SINE[1]) * x + SINE[0]
        cosine = (((COSINE[8] * x + COSINE[7]) * x + COSINE[6]) * x + COSINE[5]) * x + COSINE[4]
        cosine = (((cosine * x + COSINE[3]) * x + COSINE[2]) * x + COSINE[1]) * x + COSINE[0]
        once = -cosine if share < 0.0 else cosine
        twice = 2.0 * (once * (sine * beside))
        shares[j] = faults[0, j] * share + faults[1, j] + faults[2, j] * once + faults[3, j] * twice


@compiled
def with_missing(codes: FloatArray, missing: FloatArray, top: float, signed: bool, step: FloatArray) -> None:
    """Shares of the full scale to the codes that there are, (cols,); `step` is room to work in."""
    step[:] = missing[1, 0]
    for i in range(1, missing.shape[1]):
        most, wider = missing[0, i - 1], missing[1, i]
        for j in range(len(codes)):
            step[j] = wider if most < min(abs(codes[j]), 1.0) * top else step[j]
    for j in range(len(codes)):
        share = codes[j]
        code = min(np.rint(min(abs(share), 1.0) * top / step[j]) * step[j], top)
        if signed:
            codes[j] = -code if share < 0.0 else code
        else:
            codes[j] = code if share > 0.0 else 0.0
