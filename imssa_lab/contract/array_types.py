"""The values that pass through the contract of `imssa_lab.contract.hal`. SI units throughout: S, V, A, s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imssa_lab.contract.checks import containers
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays, frozen, own
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.notebook import facts_html

SMALLEST_GAIN = 1e-6
"""Of a column calibration; amplifiers of a bit line differ by tens of percent."""
LARGEST_OFFSET = 1.0
"""A."""
FloatArray = NDArray[np.float64]
"""An array of double precision numbers; each function that takes or returns one states its shape and unit."""
BoolArray = NDArray[np.bool_]
"""An array of truth values, most often a mask of cells, (rows, cols)."""


class _Frozen(BaseModel):
    """A value that is checked whenever it is made, copies with changes included; NaN and infinity never pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with these changes, which are checked like any value (pydantic's own takes them as they are)."""
        if not update:
            return super().model_copy(deep=deep)
        return self.model_validate({name: getattr(self, name) for name in type(self).model_fields} | dict(update))


class Window(_Frozen):
    """A conductance window in S."""

    low: float = Field(ge=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if not self.low < self.high:
            raise ValueError(f"window: low ({self.low:g} S) must lie below high ({self.high:g} S)")
        return self

    @property
    def span(self) -> float:
        """Width of the window, S."""
        return self.high - self.low


class PulseLimits(_Frozen):
    """Limits of one kind of programming pulse: magnitudes in V, widths in s."""

    voltage_max: float = Field(gt=0)
    gate_max: float = Field(gt=0)
    width_min: float = Field(gt=0)
    width_max: float = Field(gt=0)

    @model_validator(mode="after")
    def _a_width_exists(self) -> PulseLimits:
        if not self.width_min <= self.width_max:
            raise ValueError(f"no pulse width between {self.width_min:g} s and {self.width_max:g} s; swap the two?")
        return self


class Limits(_Frozen):
    """Limits of what may be requested. `read_voltage` is the largest magnitude on a word line while reading, V.

    `form` is None where an array has no forming pulses.
    """

    read_voltage: float = Field(gt=0)
    set: PulseLimits
    reset: PulseLimits
    form: PulseLimits | None = None


class AdcRanges(_Frozen):
    """The converter behind the columns: current = scale[range] * code + offset[range].

    `scale` in A per code and `offset` in A, one entry per range of the transimpedance amplifier. Codes are `signed`,
    or not, or unknown. Where a product is the sum of several conversions, its code is a sum of codes, and `bits` are
    as many as that takes.
    """

    bits: int = Field(ge=1, le=32)
    signed: bool | None = None
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @model_validator(mode="after")
    def _same_length(self) -> AdcRanges:
        if not self.scale or len(self.scale) != len(self.offset):
            raise ValueError("adc: one scale and one offset for every range")
        if 0.0 in self.scale or len(self.scale) > 256:
            raise ValueError("adc: at most 256 ranges, and no scale may be 0 A per code")
        return self

    @cached_property
    def codes(self) -> tuple[int, int]:
        """The lowest and the highest code; if the sign is not known, wide enough for both cases."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        highest = (1 << self.bits) - 1
        return (0 if self.signed is False else -highest), highest

    @cached_property
    def by_range(self) -> tuple[FloatArray, FloatArray | None]:
        """`scale` (A per code) and `offset` (A) as arrays, (ranges,), read-only; None where all offsets are 0."""
        return frozen(np.array(self.scale)), frozen(np.array(self.offset)) if any(self.offset) else None

    def common_step(self, parts: int = 1) -> tuple[float, tuple[int, ...]] | None:
        """The largest step, A, of which all scales, cut into `parts`, are whole multiples; and these multiples.

        The step is rounded to 40 binary digits. Its small multiples are exact then, so that whole numbers of it are
        rounded once, in whatever unit they are written.

        Returns:
            None where scales are negative or have no simple ratios: to 1e-9, with a common denominator of 64 at most.
        """
        smallest, most = min(self.scale), 64
        ratios = [Fraction(scale / smallest).limit_denominator(most) for scale in self.scale]
        whole = math.lcm(*(ratio.denominator for ratio in ratios))
        pairs = zip(self.scale, ratios, strict=True)
        if (
            smallest < 0
            or whole > most
            or any(abs(float(ratio) * smallest - scale) > 1e-9 * scale for scale, ratio in pairs)
        ):
            return None
        digits, exponent = math.frexp(smallest / (whole * parts))
        return math.ldexp(round(math.ldexp(digits, 40)), exponent - 40), tuple(int(each * whole) for each in ratios)


class Durations(_Frozen):
    """Device time that operations take, s, as the driver knows it: for estimates before anything is driven.

    Attributes:
        product: of one vector of either sign; cell_read: of one reading of one cell.
        pulse: of one pulse of one cell, beside its width; widths: whether the width counts too.
        applied: how long the read voltage is applied, of one product of one bit (or of one analog vector) and of one
            reading of one cell; None where nobody has said, which leaves the energy of the cells open.
    """

    product: float = Field(ge=0)
    cell_read: float = Field(ge=0)
    pulse: float = Field(ge=0)
    widths: bool = True
    applied: float | None = Field(default=None, gt=0)


TWIN_PROFILE = "twin profile"
"""What in the provenance of an array names the profile of the twin that is most like it, for rehearsals."""


class ArrayInfo(_Frozen):
    """What an array is.

    Attributes:
        name: what people call it; serial: what is printed on it.
        rows, cols: word lines, bit lines.
        window: conductances that may be targets, S.
        read_voltage: voltage at which `read_conductances` reads a cell, V.
        input_coding: how `read_mvm` puts a voltage on a word line; `input_bits` None means continuous.
        input_step: V of which the voltages of `read_mvm` are made whole multiples; None where they are continuous, or
            where the driver does not know.
        input_signed: whether a word line can take both signs; input_passes: in how many passes, one after the other,
            the instrument itself then reads a vector that has both.
        adc: None where the instrument answers in amperes rather than codes.
        durations: None where the driver does not know how long operations take.
        provenance: what a record should keep, as text (profile, seed, firmware ...).
    """

    name: str
    serial: str
    rows: int = Field(ge=1)
    cols: int = Field(ge=1)
    window: Window
    limits: Limits
    read_voltage: float = Field(gt=0)
    input_coding: Literal["analog", "bit-serial", "unary"]
    input_bits: int | None = Field(default=None, ge=1, le=24)
    input_step: float | None = Field(default=None, gt=0)
    input_signed: bool
    input_passes: int = Field(default=1, ge=1, le=2)
    adc: AdcRanges | None = None
    durations: Durations | None = None
    provenance: dict[str, str] = Field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.rows, self.cols

    @cached_property
    def word_lines(self) -> tuple[int, float, bool]:
        """How many, the read limit in V, and whether they take both signs: read at every product."""
        return self.rows, self.limits.read_voltage, self.input_signed

    @property
    def whole_step(self) -> float | None:
        """`input_step` where the read limit is a whole multiple of it, V: what is rounded to it stays allowed."""
        step, most = self.input_step, self.limits.read_voltage
        return step if step is not None and round(most / step) * step == most else None

    def facts(self) -> list[tuple[str, str]]:
        """Description and limits of the array, in words."""
        pulses = {"SET": self.limits.set, "RESET": self.limits.reset, "FORM": self.limits.form}
        coding = self.input_coding if self.input_bits is None else f"{self.input_coding}, {self.input_bits} bits"
        found = [
            ("name, serial", f"{self.name} ({self.serial})"),
            ("word lines x bit lines", f"{self.rows} x {self.cols}"),
            ("conductance window", f"{1e6 * self.window.low:g} to {1e6 * self.window.high:g} µS"),
            ("reading", f"cells at {self.read_voltage:g} V, word lines at most {self.limits.read_voltage:g} V"),
            ("inputs", f"{coding}, {'both signs' if self.input_signed else 'no negative voltages'}"),
        ]
        for kind, limit in pulses.items():
            if limit is not None:
                found.append(
                    (
                        f"{kind}, at most",
                        f"{limit.voltage_max:g} V, gate {limit.gate_max:g} V, "
                        f"{limit.width_min:g} to {limit.width_max:g} s",
                    )
                )
        return found

    def _repr_html_(self) -> str:
        """For notebooks."""
        return facts_html("array", self.facts())


@dataclass(frozen=True)
class Readout:
    """What a backend measured, as its converter gave it.

    Attributes:
        values: int16 or int32 ADC codes, or float64 currents in A where the array has no ADC.
        ranges: uint8 range index of every value, same shape; None without an ADC.
    """

    values: NDArray[Any]
    ranges: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        # FrozenArrays for the busiest value of all: a product of one vector takes microseconds
        values, ranges = self.values, self.ranges
        if type(values) is np.ndarray and (values.flags.writeable or values.base is not None):
            object.__setattr__(self, "values", own(values))
        if type(ranges) is np.ndarray and (ranges.flags.writeable or ranges.base is not None):
            object.__setattr__(self, "ranges", own(ranges))

    @classmethod
    def of_own(cls, values: NDArray[Any], ranges: NDArray[np.uint8] | None) -> Readout:
        """Of arrays that nobody else holds, same shape: made read-only, not looked at, which takes longer."""
        made = cls.__new__(cls)
        vars(made).update(values=frozen(values), ranges=None if ranges is None else frozen(ranges))
        return made

    def current(self, adc: AdcRanges | None) -> FloatArray:
        """Current in A, same shape as `values`."""
        if self.ranges is None or adc is None:
            return np.array(self.values, dtype=np.float64)
        scale, offset = adc.by_range
        current: FloatArray = scale.take(self.ranges) * self.values  # much faster than an index
        if offset is not None:
            current += offset.take(self.ranges)
        return current


class PulseKind(StrEnum):
    """Direction of a programming pulse."""

    SET = "SET"
    RESET = "RESET"
    FORM = "FORM"


@dataclass(frozen=True)
class Pulses:
    """One programming pulse per selected cell.

    Attributes:
        kind: SET, RESET or FORM.
        voltage: magnitude across cell and transistor, V, shape (rows, cols); NaN = leave the cell alone.
        gate: gate voltage of the cell's transistor, V, same shape and the same NaN.
        width: seconds, one value for the batch.
        mask: True where a cell is pulsed, (rows, cols); follows from voltage.
        given: types that voltage, gate and width came in.

    Raises:
        LimitError: shapes or NaN of voltage and gate differ, a value is infinite or not above zero.
    """

    kind: PulseKind
    voltage: FloatArray
    gate: FloatArray
    width: float
    mask: BoolArray = field(init=False, repr=False)
    given: tuple[np.dtype[Any], np.dtype[Any], np.dtype[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", PulseKind(self.kind))
        volts, gates = (
            containers.numeric(values, f"pulses: {name}", containers.CELLS, "V")
            for name, values in (("voltage", self.voltage), ("gate", self.gate))
        )
        # copies before the checks: whoever else holds these arrays may write them at any time
        object.__setattr__(self, "given", (volts.dtype, gates.dtype, np.asarray(self.width).dtype))
        object.__setattr__(self, "voltage", frozen(np.array(volts, dtype=np.float64, order="C")))
        object.__setattr__(self, "gate", frozen(np.array(gates, dtype=np.float64, order="C")))
        object.__setattr__(self, "width", containers.number(self.width, "pulses: width", "s"))
        if self.voltage.ndim != 2 or self.voltage.shape != self.gate.shape:
            raise LimitError(
                f"pulses: voltage {self.voltage.shape} and gate {self.gate.shape} must have the array's shape"
            )
        object.__setattr__(self, "mask", frozen(~np.isnan(self.voltage)))
        if not np.array_equal(self.mask, ~np.isnan(self.gate)):
            raise LimitError("pulses: a cell needs both a voltage and a gate, or NaN in both to be left alone")
        for name, values in (("voltage", self.voltage), ("gate", self.gate)):
            # these pass over NaN
            lowest, highest = (of.reduce(values, axis=None, initial=1.0) for of in (np.fmin, np.fmax))
            if not (lowest > 0 and np.isfinite(highest)):
                raise LimitError(f"pulses: {name} is a magnitude in V: finite and above zero, NaN to leave alone")
        if not (np.isfinite(self.width) and self.width > 0):
            raise LimitError(f"pulses: width {self.width!r} s must be finite and above zero")

    @classmethod
    def on(cls, mask: BoolArray, kind: PulseKind | str, voltage: ArrayLike, gate: ArrayLike, width: float) -> Pulses:
        """The same or a given pulse on the cells of `mask` (rows, cols); voltage and gate broadcast, V."""
        chosen = containers.flags(mask, "pulses: mask")
        volts, gates = (
            containers.numeric(values, f"pulses: {name}", containers.CELLS, "V")
            for name, values in (("voltage", voltage), ("gate", gate))
        )
        try:
            maps = [
                np.where(chosen, values, values.dtype.type(np.nan) if values.dtype.kind == "f" else np.nan)
                for values in (volts, gates)
            ]
        except ValueError as error:
            raise LimitError(
                f"pulses: voltage {volts.shape} and gate {gates.shape} do not fit the mask {chosen.shape}"
            ) from error
        return cls(PulseKind(kind), maps[0], maps[1], width)


def is_gain(values: FloatArray) -> BoolArray:
    """Whether each of these can be the gain of a column calibration; same shape."""
    size = np.abs(values)
    return np.asarray((size >= SMALLEST_GAIN) & (size <= 1 / SMALLEST_GAIN))


@dataclass(frozen=True)
class ColumnCalibration(FrozenArrays):
    """Per-column linear correction of `read_mvm`: corrected = gain * measured + offset.

    Attributes:
        gain: (cols,); offset: (cols,) A; residual: (cols,) A, rms of what the fit leaves.
        date: ISO 8601, UTC; says when it was measured and takes no part in comparisons.

    Raises:
        LimitError: values that are no correction: not finite, a gain of (almost) 0 or beyond a million, an offset
            beyond 1 A; or shapes that differ.
    """

    gain: FloatArray
    offset: FloatArray
    residual: FloatArray
    date: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, unit in (("gain", "1"), ("offset", "A"), ("residual", "A")):
            made = containers.floats(getattr(self, name), f"calibration {name}", ("col",), unit)
            object.__setattr__(self, name, frozen(made))
        shapes = {name: getattr(self, name).shape for name in ("gain", "offset", "residual")}
        if len(set(shapes.values())) > 1 or self.gain.ndim != 1:
            raise LimitError(f"calibration: one gain, offset and residual for each bit line, there are {shapes}")
        if not is_gain(self.gain).all():
            raise LimitError(
                f"calibration gain must be finite and {SMALLEST_GAIN:g} to {1 / SMALLEST_GAIN:g} in size, "
                f"got {self.gain.min():g} to {self.gain.max():g}; a bit line that does not answer keeps gain 1"
            )
        if not (np.abs(self.offset) <= LARGEST_OFFSET).all():
            raise LimitError(f"calibration offset must be finite and at most {LARGEST_OFFSET:g} A in size")

    def apply(self, current: FloatArray) -> FloatArray:
        """Corrected current, A, shape (..., cols)."""
        return self.gain * current + self.offset
