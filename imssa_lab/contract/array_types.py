"""The values that pass through the contract of `imssa_lab.contract.hal`. SI units throughout: S, V, A, s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.notebook import facts_html

if TYPE_CHECKING:
    import xarray

FloatArray = NDArray[np.float64]
"""An array of double precision numbers; whoever takes or returns one says its shape and unit."""
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
    """What one kind of programming pulse may be: magnitudes in V, widths in s."""

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
    """What may be asked of an array. `read_voltage` bounds the magnitude on a word line while reading, V.

    `form` is None where an array has no forming pulses.
    """

    read_voltage: float = Field(gt=0)
    set: PulseLimits
    reset: PulseLimits
    form: PulseLimits | None = None


class AdcRanges(_Frozen):
    """The converter behind the columns: current = scale[range] * code + offset[range].

    `scale` in A per code and `offset` in A, one entry per range of the transimpedance amplifier.
    """

    bits: int = Field(ge=1, le=24)
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @model_validator(mode="after")
    def _same_length(self) -> AdcRanges:
        if not self.scale or len(self.scale) != len(self.offset):
            raise ValueError("adc: one scale and one offset for every range")
        if 0.0 in self.scale or len(self.scale) > 256:
            raise ValueError("adc: at most 256 ranges, of which none has a scale of 0 A per code")
        return self


class Durations(_Frozen):
    """Device time that operations take, s, as the driver knows it: for estimates before anything is driven.

    Attributes:
        product: of one vector of either sign; cell_read: of one reading of one cell.
        pulse: of one pulse of one cell, beside its width; widths: whether the width counts too.
    """

    product: float = Field(ge=0)
    cell_read: float = Field(ge=0)
    pulse: float = Field(ge=0)
    widths: bool = True


class ArrayInfo(_Frozen):
    """What an array is.

    Attributes:
        name: what people call it; serial: what is printed on it.
        rows, cols: word lines, bit lines.
        window: conductances that may be targets, S.
        read_voltage: voltage at which `read_conductances` reads a cell, V.
        input_coding: how `read_mvm` puts a voltage on a word line; `input_bits` None means continuous.
        input_signed: whether a word line can take both signs.
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
    input_signed: bool
    adc: AdcRanges | None = None
    durations: Durations | None = None
    provenance: dict[str, str] = Field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.rows, self.cols

    def facts(self) -> list[tuple[str, str]]:
        """What it is and what may be asked of it, in words."""
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

    def current(self, adc: AdcRanges | None) -> FloatArray:
        """Current in A, same shape as `values`."""
        if self.ranges is None or adc is None:
            return np.asarray(self.values, dtype=np.float64)
        current: FloatArray = np.asarray(adc.scale).take(self.ranges)  # much faster than an index
        current *= self.values
        if any(adc.offset):
            current += np.asarray(adc.offset).take(self.ranges)
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

    Raises:
        LimitError: shapes or NaN of voltage and gate differ, a value is infinite or not above zero.
    """

    kind: PulseKind
    voltage: FloatArray
    gate: FloatArray
    width: float
    mask: BoolArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", PulseKind(self.kind))
        object.__setattr__(self, "voltage", np.asarray(self.voltage, dtype=np.float64))
        object.__setattr__(self, "gate", np.asarray(self.gate, dtype=np.float64))
        if self.voltage.ndim != 2 or self.voltage.shape != self.gate.shape:
            raise LimitError(
                f"pulses: voltage {self.voltage.shape} and gate {self.gate.shape} must have the array's shape"
            )
        object.__setattr__(self, "mask", ~np.isnan(self.voltage))
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
        return cls(PulseKind(kind), np.where(mask, voltage, np.nan), np.where(mask, gate, np.nan), width)


class CellOutcome(IntEnum):
    """Why programming of a cell ended. REACHED is the loop's belief; the truth is the re-read."""

    NOT_SELECTED = 0
    REACHED = 1
    GAVE_UP = 2
    STUCK_LOW = 3
    STUCK_HIGH = 4
    BUDGET = 5


@dataclass(frozen=True)
class ProgrammingReport:
    """What programming did, cell by cell, all arrays (rows, cols).

    Attributes:
        target: S, NaN where not selected.
        achieved: S, by an independent re-read after the last pulse, NaN where not selected.
        pulses: number of pulses each cell received.
        outcome: `CellOutcome` values.
        tolerance: half width of the window that counts as success, S.
        seconds: device time from first read to the end of the re-read.
        reads: array reads used.
    """

    target: FloatArray
    achieved: FloatArray
    pulses: NDArray[np.int32]
    outcome: NDArray[np.uint8]
    tolerance: float
    seconds: float
    reads: int

    @property
    def selected(self) -> BoolArray:
        """True for the cells that were to be programmed."""
        return np.asarray(self.outcome != CellOutcome.NOT_SELECTED)

    @property
    def error(self) -> FloatArray:
        """achieved - target, S."""
        return self.achieved - self.target

    def within(self, tolerance: float | None = None) -> float:
        """Fraction of selected cells truly inside target +- tolerance (S) by the re-read; 1.0 for none."""
        errors = self.error[self.selected]
        limit = self.tolerance if tolerance is None else tolerance
        return float(np.mean(np.abs(errors) <= limit)) if errors.size else 1.0

    def __str__(self) -> str:
        ends = ", ".join(
            f"{np.count_nonzero(self.outcome == end)} {end.name.lower().replace('_', ' ')}"
            for end in CellOutcome
            if end is not CellOutcome.NOT_SELECTED and np.any(self.outcome == end)
        )
        return (
            f"{np.count_nonzero(self.selected)} cells, {100 * self.within():.1f} % within "
            f"{self.tolerance * 1e6:.1f} uS by re-read, {int(self.pulses.sum())} pulses, "
            f"{self.reads} reads, {self.seconds:.1f} s ({ends or 'nothing selected'})"
        )

    def _repr_html_(self) -> str:
        """For notebooks: what a re-read says first, then what the loop did."""
        error, chosen = self.error[self.selected], int(np.count_nonzero(self.selected))
        facts = [
            ("within, by re-read", f"{100 * self.within():.2f} % of {chosen} cells, ±{self.tolerance * 1e6:g} µS")
        ]
        if error.size:
            facts.append(("error", f"mean {1e6 * error.mean():+.2f} µS, sd {1e6 * error.std():.2f} µS"))
        facts += [
            ("pulses", f"{int(self.pulses.sum())}, at most {int(self.pulses.max())} to a cell"),
            ("reads, device time", f"{self.reads}, {self.seconds:.1f} s"),
        ]
        for end in CellOutcome:
            count = int(np.count_nonzero(self.outcome == end))
            if count and end is not CellOutcome.NOT_SELECTED:
                facts.append((f"the loop says {end.name.lower().replace('_', ' ')}", str(count)))
        return facts_html("programming report", facts)

    def to_xarray(self) -> xarray.Dataset:
        """The report as an xarray Dataset with dimensions row (word line) and col (bit line)."""
        import xarray

        dims = ("row", "col")
        return xarray.Dataset(
            {
                "target": (dims, self.target, {"units": "S"}),
                "achieved": (dims, self.achieved, {"units": "S"}),
                "pulses": (dims, self.pulses, {"units": "1"}),
                "outcome": (dims, self.outcome, {"meaning": ", ".join(f"{e.value} {e.name}" for e in CellOutcome)}),
            },
            attrs={"tolerance_S": self.tolerance, "seconds": self.seconds, "reads": self.reads},
        )


@dataclass(frozen=True)
class ColumnCalibration:
    """Per-column linear correction of `read_mvm`: corrected = gain * measured + offset.

    Attributes:
        gain: (cols,); offset: (cols,) A; residual: (cols,) A, rms of what the fit leaves.
        date: ISO 8601, UTC; says when it was measured and takes no part in comparisons.
    """

    gain: FloatArray
    offset: FloatArray
    residual: FloatArray
    date: str = field(default="", compare=False)

    def apply(self, current: FloatArray) -> FloatArray:
        """Corrected current, A, shape (..., cols)."""
        return self.gain * current + self.offset
