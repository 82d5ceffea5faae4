"""Ways of reading a superT A0: pulse trains for inputs, whole rows or single cells, one or two steps of the ADC."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from drivers.supert_a0 import wire
from drivers.supert_a0.convert import ADC_SPAN, ADC_TOP, ADC_ZERO, TIA_RESISTANCES, unpack
from imssa_lab.contract.array_types import AdcRanges, BoolArray, FloatArray, Readout

INPUT_BITS = 8
_LARGEST = (1 << INPUT_BITS) - 1
UNARY_BITS = 3
UNARY_PULSES = (1 << UNARY_BITS) - 1
ADC = AdcRanges(
    bits=10, scale=tuple(ADC_SPAN / r / ADC_TOP for r in TIA_RESISTANCES), offset=(0.0,) * len(TIA_RESISTANCES)
)
SHIFTS = (0.0, 1.5, 1.0, 0.5, -0.5, -1.0, -1.5)
"""V by which the ADC's top reference is moved: each carries half a volt of readings to 2.0-2.5 V, its best part."""
_BIN = 0.5
_MIDDLE = 2.0


class Reading(BaseModel):
    """How an array is read.

    Attributes:
        inputs: bit-serial: 8 products a vector, weighted; unary: 7 products a vector, counted.
        cells: slow: one after another; rows: whole word lines at once, which the column amplifiers see otherwise.
        adc: single: one reading; two-step: seven, each value from where the ADC has no missing codes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Literal["bit-serial", "unary"] = "bit-serial"
    cells: Literal["slow", "rows"] = "slow"
    adc: Literal["single", "two-step"] = "single"

    def __str__(self) -> str:
        return f"{self.inputs} inputs, {self.cells} cells, {self.adc} ADC"

    @property
    def levels(self) -> int:
        """Steps from 0 V to the read voltage."""
        return _LARGEST if self.inputs == "bit-serial" else UNARY_PULSES

    @property
    def pulses(self) -> int:
        """Products that a vector of one sign takes."""
        return INPUT_BITS if self.inputs == "bit-serial" else UNARY_PULSES

    @property
    def steps(self) -> int:
        """Readings of the ADC that a value takes."""
        return 1 if self.adc == "single" else len(SHIFTS)

    def train(self, numbers: NDArray[np.uint8]) -> tuple[BoolArray, FloatArray]:
        """Pulses (n, pulses, rows) for numbers of steps (n, rows), and how many steps each pulse counts for."""
        if self.inputs == "bit-serial":
            bits = np.arange(INPUT_BITS, dtype=np.uint8)
            return (numbers[:, None, :] >> bits[:, None] & 1) == 1, np.exp2(bits, dtype=np.float64)
        pulses = np.arange(UNARY_PULSES)
        return numbers[:, None, :] > pulses[:, None], np.ones(UNARY_PULSES)


def packed(driven: BoolArray) -> NDArray[np.uint8]:
    """Masks of rows that are driven, (n, rows), as the 8 bytes each that are sent; row 63 is the very first bit.

    >>> packed(np.arange(64) == np.array([[0], [63]])).tolist()
    [[0, 0, 0, 0, 0, 0, 0, 1], [128, 0, 0, 0, 0, 0, 0, 0]]
    """
    bits = np.zeros((len(driven), wire.SIDE), dtype=np.bool_)
    bits[:, : driven.shape[1]] = driven
    return np.packbits(bits[:, ::-1], axis=1)


def currents(words: NDArray[np.uint16]) -> FloatArray:
    """Currents in A for words of codes and gains; LinkCorrupt for a gain that does not exist."""
    return _looked_up(_CURRENTS, words)


def train_currents(words: NDArray[np.uint16], counts: FloatArray) -> FloatArray:
    """Currents in A, (n, cols), of vectors, from the words of their pulses, (n * pulses, cols).

    Codes add up exactly, in the step that the amplifier's ranges have in common; only the sum is multiplied by it.

    Args:
        counts: how many steps of the input each pulse counts for, (pulses,).

    Raises:
        LinkCorrupt: as `currents`.
    """
    by_vector = _looked_up(_STEPS, words).reshape(-1, len(counts), words.shape[1])
    return np.asarray((counts[:, None] * by_vector).sum(axis=1) * _common_step(int(counts.sum()))[0])


def _looked_up(table: FloatArray, words: NDArray[np.uint16]) -> FloatArray:
    if words.max() >= len(table):
        unpack(words)  # says what is wrong with it
    return np.asarray(table[words])


def _all_words() -> Readout:
    """What all words say that there can be, by word: looking up is quicker than working out."""
    code, gain = unpack(np.arange(len(TIA_RESISTANCES) << ADC.bits, dtype=np.uint16))
    return Readout(code.astype(np.int16), gain.astype(np.uint8))


@cache
def _common_step(levels: int) -> tuple[float, tuple[int, ...]]:
    """Of the amplifier's ranges, where codes are cut into so many parts, see `AdcRanges`."""
    found = ADC.common_step(levels)
    assert found is not None
    return found


_CURRENTS = _all_words().current(ADC)
_STEPS: FloatArray = np.array(_common_step(1)[1], dtype=np.float64)[_all_words().ranges] * _all_words().values


def two_step(words: Mapping[float, NDArray[np.uint16]]) -> FloatArray:
    """Currents in A from words read with the ADC's reference moved by each of `SHIFTS`.

    Where the amplifier changed its gain between the two readings that count, the first one is kept.
    """
    first, gain = unpack(words[0.0])
    volts = ADC_ZERO + first.astype(np.float64) * (ADC_SPAN / ADC_TOP)
    wanted = _MIDDLE - _BIN * np.floor(np.minimum(volts, ADC_ZERO + ADC_SPAN - _BIN) / _BIN)
    result = volts.copy()
    for shift, moved in words.items():
        code, again = unpack(moved)
        chosen = (wanted == shift) & (again == gain)
        result[chosen] = ADC_ZERO + code[chosen] * (ADC_SPAN / ADC_TOP) - shift
    return np.asarray((result - ADC_ZERO) / np.asarray(TIA_RESISTANCES)[gain])
