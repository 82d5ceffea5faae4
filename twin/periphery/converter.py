"""The bit-line converter: a transimpedance amplifier that picks its range, and an ADC with faults."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.checks.frozen_arrays import frozen
from imssa_lab.contract.hal import AdcRanges, FloatArray, Readout
from twin.profile_section import Section


class Adc(Section):
    """Ranges and codes; a converter serves columns c, c + converters, c + 2 converters ...

    Codes reach from -(2^(bits-1) - 1) to 2^(bits-1) - 1 where `signed`, else from 0 to 2^bits - 1 with all negative
    currents read as 0; beyond the ends of the largest range the converter saturates.
    """

    bits: int = Field(ge=2, le=16)
    full_scales: tuple[float, ...] = Field(min_length=1, description="A, ascending")
    signed: bool = True
    headroom: float = Field(
        default=1.0, gt=0, le=1, description="fraction of full scale beyond which the next range is taken"
    )
    missing: tuple[tuple[float, int], ...] = Field(
        default=(), description="(up to which fraction of full scale, step): only every so manieth code occurs there"
    )
    inl: float = Field(
        default=0.0, ge=0, le=0.1, description="integral nonlinearity: sd of a bow and an S, fraction of full scale"
    )
    gain_spread: float = Field(default=0.0, ge=0, le=0.5, description="sd from converter to converter")
    offset_spread: float = Field(
        default=0.0, ge=0, le=0.5, description="sd from converter to converter, fraction of full scale, in any range"
    )
    converters: int | None = Field(default=None, ge=1, description="that share the columns; None: one for each")

    @model_validator(mode="after")
    def _consistent(self) -> Adc:
        if list(self.full_scales) != sorted(set(self.full_scales)) or self.full_scales[0] <= 0:
            raise ValueError("adc: full_scales must ascend and be above zero")
        bounds, steps = [bound for bound, _ in self.missing], [step for _, step in self.missing]
        if bounds != sorted(set(bounds)) or any(step < 1 for step in steps) or (bounds and bounds[-1] != 1.0):
            raise ValueError("adc: missing needs ascending fractions of which the last is 1.0, and steps from 1")
        return self

    @property
    def top(self) -> int:
        """The largest code."""
        return int(2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1)


def adc_ranges(adc: Adc) -> AdcRanges:
    """Scale (A per code) and offset of every range, for `ArrayInfo`."""
    return AdcRanges(
        bits=adc.bits,
        signed=adc.signed,
        scale=tuple(full_scale / adc.top for full_scale in adc.full_scales),
        offset=tuple(0.0 for _ in adc.full_scales),
    )


BEND = 1.5 * math.sqrt(3.0)
"""What brings the peaks of 4 x (1 - x) (1 - 2 x) to 1."""


def bow_and_bend(share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A bow and an S with peaks of 1 over shares of the full scale, clipped to +-1; odd, and 0 at 0 and +-1.

    4 x (1 - x), and the cubic that is 0 in the middle too: integral nonlinearities of the lowest orders.
    """
    size = np.minimum(np.abs(share), 1.0)
    bow = np.copysign(4.0 * (size * (1.0 - size)), share)
    return bow, BEND * (bow * (1.0 - 2.0 * size))


def codes_of(share: FloatArray, adc: Adc) -> FloatArray:
    """Codes for shares of the full scale, same shape: to the nearest code that the converter has, saturating."""
    top = adc.top
    magnitude = np.minimum(np.abs(share), 1.0) * top
    if adc.missing:
        bounds = np.array([bound for bound, _ in adc.missing[:-1]]) * top
        step = np.array([step for _, step in adc.missing], dtype=np.float64)[np.searchsorted(bounds, magnitude)]
        codes = np.minimum(np.rint(magnitude * (1.0 / step)) * step, top)
    else:
        codes = np.rint(magnitude)
    return np.asarray(np.copysign(codes, share) if adc.signed else np.where(share > 0, codes, 0.0))


class Converters:
    """The converters of one chip, with the faults that were drawn for them.

    Args:
        adc: None for instruments that answer in amperes.

    Attributes:
        gain, offset, bow, bend: of the converter of each column, in shares of the full scale, (cols,).
    """

    KEPT = ()
    DEVICES = ("gain", "offset", "bow", "bend")

    def __init__(self, adc: Adc | None, cols: int, rng: np.random.Generator) -> None:
        self._adc, self.cols = adc, cols
        if adc is not None:
            self.ranges = adc_ranges(adc)
            mine = np.arange(cols) % (adc.converters or cols)
            drawn = rng.standard_normal((4, adc.converters or cols))[:, mine]
            self.gain = 1.0 + adc.gain_spread * drawn[0]
            self.offset = adc.offset_spread * drawn[1]
            self.bow, self.bend = adc.inl * drawn[2], adc.inl * drawn[3]

    def convert(self, current: FloatArray) -> Readout:
        """Codes of currents (..., cols) in A, each in the smallest range whose headroom holds it."""
        adc = self._adc
        if adc is None:
            return Readout(current)
        full_scales = np.asarray(adc.full_scales)
        size = np.maximum(current, 0.0) if not adc.signed else np.abs(current)
        chosen = np.minimum(np.searchsorted(adc.headroom * full_scales, size), len(full_scales) - 1)
        kind = np.int16 if adc.top < 2**15 else np.int32
        return Readout(
            frozen(self.codes(current * (1.0 / full_scales)[chosen]).astype(kind)), frozen(chosen.astype(np.uint8))
        )

    def codes(self, share: FloatArray) -> FloatArray:
        """Codes of inputs (..., cols) as shares of the full scale, with each converter's own faults."""
        adc = self._adc
        assert adc is not None
        if adc.gain_spread or adc.offset_spread or adc.inl:
            once, twice = bow_and_bend(share)
            share = self.gain * share + self.offset + self.bow * once + self.bend * twice
        return codes_of(share, adc)

    @property
    def headroom(self) -> float:
        """Share of its full scale beyond which a range is left for the next; 1.0 without converters."""
        return 1.0 if self._adc is None else self._adc.headroom

    def amperes(self, current: FloatArray) -> FloatArray:
        """The currents that the codes represent, A."""
        return self.convert(current).current(None if self._adc is None else self.ranges)
