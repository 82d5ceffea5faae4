"""Operations of reads on an array, counted exactly: products of one bit, conversions, line drives, sums of V^2 G."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import ArrayInfo, BoolArray, FloatArray


@dataclass(frozen=True)
class ReadCounts:
    """Counts of reads, from the voltages on the word lines.

    Attributes:
        vectors: that were read; a signed one counts twice where it is read in two passes that the caller makes.
        one_bit: products in which every word line is at one voltage: several for each vector that is coded in
            bits or pulses, one for an analog vector.
        conversions: one for every bit line in each of these.
        drives: word lines that stood at another voltage than 0 V in one of these.
        cell_reads: readings of single cells, each one conversion and one driven line besides.
        square_volts_siemens: sum of V^2 G, W, over these products and readings: what cells would dissipate all the
            time. Bit lines count as held at 0 V, as an amplifier holds them.
        crossings: driven cells that the sum is over; unknown: those of which nothing is known, left out of it.
    """

    vectors: int = 0
    one_bit: int = 0
    conversions: int = 0
    drives: int = 0
    cell_reads: int = 0
    square_volts_siemens: float = 0.0
    crossings: int = 0
    unknown: int = 0

    def __add__(self, other: ReadCounts) -> ReadCounts:
        return ReadCounts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def pulses_a_vector(info: ArrayInfo) -> int:
    """Products of one bit that a vector of one sign takes."""
    if info.input_coding == "analog" or info.input_bits is None:
        return 1
    return info.input_bits if info.input_coding == "bit-serial" else 2**info.input_bits - 1


def line_drives(info: ArrayInfo, voltages: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """In how many products of one bit a word line is driven, and the sum of its squared voltages there, V^2.

    A line that is coded in bits or pulses is at the read limit in as many products as its number has bits or
    pulses; the number is the voltage in steps of full scale, which is the read limit of the array.

    Args:
        voltages: asked of `read_mvm`, V, (n, rows).

    Returns:
        Both (n, rows).
    """
    size, full, bits = np.abs(voltages), info.limits.read_voltage, info.input_bits
    if info.input_coding == "analog" or bits is None:
        if bits is not None:
            step = full / (2 ** (bits - 1) - 1 if info.input_signed else 2**bits - 1)
            size = np.rint(size / step) * step
        return (size > 0).astype(np.int64), size**2
    number = np.rint(size * ((2**bits - 1) / full)).astype(np.int64)
    if info.input_coding == "unary":
        return number, full**2 * number
    ones = sum(((number >> bit) & 1 for bit in range(bits)), np.zeros_like(number))
    return ones, full**2 * ones


def products_counted(info: ArrayInfo, voltages: FloatArray, conductance: FloatArray) -> ReadCounts:
    """Counts of a batch of products.

    Args:
        voltages: asked of `read_mvm`, V, (n, rows); conductance: S, (rows, cols), NaN where it is not known.
    """
    drives, squares = line_drives(info, voltages)
    signs = np.ones(len(voltages), dtype=np.int64)
    if info.input_passes > 1:
        signs += (voltages < 0).any(axis=1)
    one_bit, known = int(signs.sum()) * pulses_a_vector(info), np.isfinite(conductance)
    by_line = drives.sum(axis=0)
    return ReadCounts(
        vectors=len(voltages),
        one_bit=one_bit,
        conversions=one_bit * info.cols,
        drives=int(by_line.sum()),
        square_volts_siemens=float(squares.sum(axis=0) @ np.where(known, conductance, 0.0).sum(axis=1)),
        crossings=int(by_line.sum()) * info.cols,
        unknown=int(by_line @ (~known).sum(axis=1)),
    )


def cells_counted(info: ArrayInfo, mask: BoolArray, conductance: FloatArray) -> ReadCounts:
    """Counts of readings of single cells, each alone at the read voltage.

    Args:
        mask: of the cells, (rows, cols); conductance: S, what they were read to hold, (averages, rows, cols).
    """
    reads = len(conductance) * int(np.count_nonzero(mask))
    power = float(info.read_voltage**2 * conductance[:, mask].sum())
    return ReadCounts(cell_reads=reads, square_volts_siemens=power, crossings=reads)
