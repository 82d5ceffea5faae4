"""Columns and converters of one chip, as compiled reads take them."""

from __future__ import annotations

import numpy as np

from twin.fast.compiled_digits import GROUP, Digits
from twin.periphery.columns import ColumnAmplifiers
from twin.periphery.converter import Adc, Converters
from twin.periphery.pulse_sums import PulseSums


def digits_of(
    amplifiers: ColumnAmplifiers, converters: Converters, adc: Adc | None, sums: PulseSums | None, codes: bool
) -> tuple[Digits, Digits]:
    """For products, and for reads of single cells: they differ where products are sums of codes.

    Args:
        codes: whether reads answer in codes rather than in amperes.
    """
    columns, none = np.stack([amplifiers.gain, amplifiers.offset, np.ones(len(amplifiers.gain))]), np.zeros((3, 0))
    if adc is None:
        nothing = Digits(columns, np.zeros((0, 0)), none, none, 0.0, signed=True, units=np.zeros(0))
        return nothing, nothing
    full_scales, per_code = np.asarray(adc.full_scales), np.asarray(converters.ranges.scale)
    marks = np.arange(len(full_scales), dtype=np.float64) if codes else per_code
    ranges = np.stack([1.0 / full_scales, adc.headroom * full_scales, marks])
    bounds = np.array([bound for bound, _ in adc.missing]) * adc.top
    steps = np.array([step for _, step in adc.missing], dtype=np.float64)
    missing = np.stack([bounds, steps, 1.0 / steps])
    faults = np.tile(np.stack([converters.gain, converters.offset, converters.bow, converters.bend]), GROUP)
    faulty = adc.gain_spread or adc.offset_spread or adc.inl
    made = Digits(
        columns, faults if faulty else faults[:0], ranges, missing, float(adc.top), adc.signed, units=np.zeros(0)
    )
    if sums is None:
        return made, made
    of_products, of_cells = (np.vstack([ranges[:2], marked]) for marked in sums.marks())
    units = np.array(sums.units, dtype=np.float64)
    return made._replace(ranges=of_products, units=units), made._replace(ranges=of_cells, units=units)
