"""What stands between numbers and cells: word-line DAC, bit-line amplifier and ADC, column gain and offset."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.hal import AdcRanges, FloatArray, Readout
from twin.section import Section


class Inputs(Section):
    """The word-line DAC: signed analog voltages, `bits` None for continuous, full scale in V."""

    bits: int | None = Field(default=None, ge=2, le=16)
    full_scale: float = Field(gt=0)


class Adc(Section):
    """The bit-line converter: signed codes of `bits`; the amplifier takes the smallest range that holds."""

    bits: int = Field(ge=2, le=16)
    full_scales: tuple[float, ...] = Field(min_length=1, description="A, ascending")

    @model_validator(mode="after")
    def _ascending(self) -> Adc:
        if list(self.full_scales) != sorted(set(self.full_scales)) or self.full_scales[0] <= 0:
            raise ValueError("adc: full_scales must ascend and be above zero")
        return self


class Columns(Section):
    """Per-column gain and offset of `read_mvm` before calibration; cell reads do not have them."""

    gain: float = Field(gt=0, description="mean")
    gain_spread: float = Field(ge=0, description="sd")
    offset_spread: float = Field(ge=0, description="sd, A")


def dac_voltage(voltage: FloatArray, inputs: Inputs) -> FloatArray:
    """The voltage that the DAC really puts out for the one asked, V, same shape."""
    if inputs.bits is None:
        return voltage
    step = inputs.full_scale / (2 ** (inputs.bits - 1) - 1)
    return np.asarray(np.rint(voltage / step) * step)


def adc_ranges(adc: Adc) -> AdcRanges:
    """Scale (A per code) and offset of every range, for `ArrayInfo`."""
    top = 2 ** (adc.bits - 1) - 1
    return AdcRanges(
        bits=adc.bits,
        scale=tuple(full_scale / top for full_scale in adc.full_scales),
        offset=tuple(0.0 for _ in adc.full_scales),
    )


def convert(current: FloatArray, ranges: AdcRanges | None) -> Readout:
    """Codes of currents (A) in the smallest range that holds each; beyond the largest the converter saturates."""
    if ranges is None:
        return Readout(current)
    top = 2 ** (ranges.bits - 1) - 1
    scale = np.asarray(ranges.scale)
    chosen = np.searchsorted(scale * top, np.abs(current))
    chosen = np.minimum(chosen, len(scale) - 1)
    codes = np.rint(current / scale[chosen])
    return Readout(np.clip(codes, -top, top).astype(np.int16), chosen.astype(np.uint8))


class ColumnAmplifiers:
    """Gain and offset of every bit line as they are on this chip."""

    def __init__(self, columns: Columns, cols: int, rng: np.random.Generator) -> None:
        self.gain: FloatArray = columns.gain + columns.gain_spread * rng.standard_normal(cols)
        self.offset: FloatArray = columns.offset_spread * rng.standard_normal(cols)

    def apply(self, current: FloatArray) -> FloatArray:
        """What leaves the amplifiers for currents (..., cols), A."""
        return self.gain * current + self.offset
