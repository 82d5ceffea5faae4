"""Products of pulse trains as whole numbers: the converter's codes add up exactly before anything is multiplied."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import frozen
from imssa_lab.contract.hal import AdcRanges, FloatArray, Readout
from twin.periphery.converter import Adc, adc_ranges
from twin.periphery.inputs import Inputs

_MOST = 2**31 - 1


@dataclass(frozen=True)
class PulseSums:
    """Sums of codes, each in the range of its pulse and weighted by what the pulse counts, in units of one step.

    Attributes:
        multiples: the step of each of the converter's ranges, in units of the common step.
        units: in these multiples of the common step a sum is given, the largest of which it is a whole number;
            ascending, from 1 on.
        ranges: of the array: one for each of `units`, then those of the converter, in which single cells are read.
    """

    multiples: tuple[int, ...]
    units: tuple[int, ...]
    ranges: AdcRanges

    @classmethod
    def of(cls, adc: Adc | None, inputs: Inputs) -> PulseSums | None:
        """Of these sections; None for single products, without a converter, or where there are no such sums.

        That is where the ranges have no simple ratios, or sums need more than 31 bits.
        """
        if adc is None or len(inputs.pulse_counts) == 1:
            return None
        levels, own = sum(inputs.pulse_counts), adc_ranges(adc)
        found = own.common_step(levels)
        if found is None or levels * adc.top * max(found[1]) > _MOST:
            return None
        step, multiples = found
        # a converter with missing codes gives multiples of their gaps, and wide ranges are seldom needed
        gaps = math.gcd(*(gap for _, gap in adc.missing)) or 1
        units = sorted({1, gaps, multiples[0], gaps * multiples[0]})
        most = levels * adc.top * max(multiples)
        ranges = AdcRanges(
            bits=most.bit_length() + adc.signed,
            signed=adc.signed,
            scale=(*(unit * step for unit in units), *own.scale),
            offset=(0.0,) * (len(units) + len(own.scale)),
        )
        return cls(multiples, tuple(units), ranges)

    def products(self, pulses: Readout, inputs: Inputs) -> Readout:
        """The results of the vectors, (n, cols), from the pulses, (n * pulses, cols)."""
        counts = np.array(inputs.pulse_counts)
        steps = np.array(self.multiples)[pulses.ranges] * pulses.values
        sums = (counts[:, None] * steps.reshape(-1, len(counts), steps.shape[1])).sum(axis=1)
        chosen = np.zeros(sums.shape, dtype=np.uint8)
        for number, unit in enumerate(self.units):
            chosen[sums % unit == 0] = number
        codes: NDArray[np.int32] = (sums // np.array(self.units)[chosen]).astype(np.int32)
        return Readout(frozen(codes), frozen(chosen))

    def cells(self, reading: Readout) -> Readout:
        """The converter's reading of single cells, (averages, rows, cols), in the ranges of the array."""
        assert reading.ranges is not None
        chosen = (reading.ranges + len(self.units)).astype(np.uint8)
        return Readout(frozen(reading.values.astype(np.int32)), frozen(chosen))

    def marks(self) -> tuple[FloatArray, FloatArray]:
        """What compiled reads mark the converter's ranges by, (ranges,): in products, and in reads of cells."""
        first, last = len(self.units), len(self.ranges.scale)
        return np.array(self.multiples, dtype=np.float64), np.arange(first, last, dtype=np.float64)
