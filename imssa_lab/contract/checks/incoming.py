"""Answers of a backend: checked before they are returned or logged, for every driver.

Instruments say "overflow" and "not a number" by values (SCPI: 9.9E37 and 9.91E37), a lost byte order makes numbers
of any size, a driver may mix up shapes. None of these is a current.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract import jit
from imssa_lab.contract.array_types import ArrayInfo, BoolArray, FloatArray, Readout
from imssa_lab.contract.closed_loop import ClosedLoop, LoopRun
from imssa_lab.contract.errors import InvalidReading
from imssa_lab.contract.programming_report import ProgrammingReport

_NONE: FloatArray = np.zeros(0)
LARGEST_CURRENT = 1e3
"""A; no bit line carries a kiloampere."""
_SENTINELS = {9.9e37: "overflow", -9.9e37: "overflow, negative", 9.91e37: "not a number"}
"""SCPI-99, volume 1, 7.2.1: numbers that mean "no number"."""


def readout(
    info: ArrayInfo, call: str, got: Readout, shape: tuple[int, ...], mask: BoolArray | None = None
) -> Readout:
    """`got`, if it is a possible answer of a converter or an ammeter to `call`, in this shape.

    Args:
        mask: (rows, cols), where amperes count; elsewhere any value is allowed.

    Raises:
        InvalidReading: another shape or type, a code beyond the bits of the converter, a range that does not exist,
            a current that is not finite or that no line carries; it names array, call and cell.
    """
    values = got.values if type(got) is Readout else got
    if type(got) is not Readout or type(values) is not np.ndarray or values.shape != shape:
        found = f"{values.shape}" if isinstance(values, np.ndarray) else ""
        raise InvalidReading(
            f"{info.name}, {call}: a {type(values).__name__} {found} was returned, a Readout of shape {shape} is "
            "needed; its driver is wrong"
        )
    if got.ranges is None:
        _amperes(info, call, values, mask)
    else:
        _codes(info, call, values, got.ranges)
    return got


def current(
    info: ArrayInfo, call: str, got: Readout, shape: tuple[int, ...], mask: BoolArray | None = None
) -> FloatArray:
    """Currents that `got` says, A, in this shape, after the checks of `readout`, which raises what this does.

    Codes are checked and multiplied in one pass: a product of one vector takes microseconds.
    """
    adc = info.adc
    if adc is not None and type(got) is Readout and got.ranges is not None:
        values, ranges = got.values, got.ranges
        if type(values) is np.ndarray and values.shape == shape and _is_usual(values, ranges):
            made, (scale, offset) = np.empty(shape), adc.by_range
            if _convert(values, ranges, *adc.codes, scale, _NONE if offset is None else offset, made):
                return made
    return readout(info, call, got, shape, mask).current(adc)


def _is_usual(values: NDArray[Any], ranges: object) -> bool:
    """Whether these are of the types for which there are compiled loops."""
    return (
        jit.AVAILABLE
        and values.dtype.char in "hi"
        and type(ranges) is np.ndarray
        and ranges.dtype.char == "B"
        and ranges.shape == values.shape
    )


def _amperes(info: ArrayInfo, call: str, values: NDArray[np.float64], mask: BoolArray | None) -> None:
    if values.dtype.kind != "f":
        raise InvalidReading(f"{info.name}, {call}: {values.dtype} values without ranges are not currents in A")
    low, high = values.item(values.argmin()), values.item(values.argmax())  # NaN where there is one
    if -LARGEST_CURRENT <= low and high <= LARGEST_CURRENT:
        return
    bad = ~(np.abs(values) <= LARGEST_CURRENT)
    if mask is not None:
        bad &= mask
    if bad.any():
        at = tuple(int(index) for index in np.argwhere(bad)[0])
        value = float(values[at])
        said = f" (SCPI: {_SENTINELS[value]})" if value in _SENTINELS else ""
        raise InvalidReading(
            f"{info.name}, {call}: {value:g} A{said} came for {_place(at)}, which is no current; "
            f"{np.count_nonzero(bad)} such values; check range, contacts and byte order, then read again"
        )


def _codes(info: ArrayInfo, call: str, values: NDArray[np.int32], ranges: NDArray[np.uint8]) -> None:
    adc = info.adc
    if adc is not None and _is_usual(values, ranges) and _all_exist(values, ranges, *adc.codes, len(adc.scale) - 1):
        return
    if adc is None or values.dtype.kind not in "iu":
        raise InvalidReading(
            f"{info.name}, {call}: {values.dtype} values with ranges, but {'no' if adc is None else 'an'} ADC; "
            "codes are whole numbers and need an ADC in the array's info"
        )
    if type(ranges) is not np.ndarray or ranges.shape != values.shape or ranges.dtype.kind not in "iu":
        raise InvalidReading(f"{info.name}, {call}: one range index for every code is needed; its driver is wrong")
    lowest, highest = adc.codes
    last = len(adc.scale) - 1
    low, high = values.argmin(), values.argmax()
    if not (lowest <= values.item(low) and values.item(high) <= highest):
        index = int(low) if values.item(low) < lowest else int(high)
        at = tuple(int(part) for part in np.unravel_index(index, values.shape))
        raise InvalidReading(
            f"{info.name}, {call}: code {values[at]} came for {_place(at)}; a converter of {adc.bits} bits gives "
            f"{lowest} to {highest}"
        )
    for extreme in (ranges.argmax(), ranges.argmin()):
        if not 0 <= ranges.item(extreme) <= last:
            at = tuple(int(part) for part in np.unravel_index(int(extreme), ranges.shape))
            raise InvalidReading(
                f"{info.name}, {call}: range {ranges[at]} came for {_place(at)}; there are ranges 0 to {last}"
            )


@jit.compiled
def _all_exist(
    codes: NDArray[np.signedinteger[Any]], ranges: NDArray[np.uint8], lowest: int, highest: int, last: int
) -> bool:
    """Whether no code and no range lies outside, same shape: a product of one vector takes microseconds."""
    good: Any = True
    for code in codes.flat:
        good &= (code >= lowest) & (code <= highest)
    for index in ranges.flat:
        good &= index <= last
    return bool(good)


@jit.compiled
def _convert(
    codes: NDArray[np.signedinteger[Any]],
    ranges: NDArray[np.uint8],
    lowest: int,
    highest: int,
    scale: FloatArray,
    offset: FloatArray,
    current: FloatArray,
) -> bool:
    """`_all_exist`, and `Readout.current` on the way: A, written, same shape; the bits are numpy's.

    Args:
        scale: A per code, (ranges,). offset: A, (ranges,), or (0,) where all are 0.
    """
    good: Any = True
    code, index, made, last = codes.ravel(), ranges.ravel(), current.ravel(), len(scale) - 1
    for i in range(len(code)):
        good &= (code[i] >= lowest) & (code[i] <= highest) & (index[i] <= last)
        made[i] = scale[min(index[i], last)] * code[i]
    if len(offset):
        for i in range(len(code)):
            made[i] += offset[min(index[i], last)]
    return bool(good)


def _place(at: tuple[int, ...]) -> str:
    """(n, cols) of products, (averages, rows, cols) of cells."""
    if len(at) == 3:
        return f"word line {at[1]}, bit line {at[2]}, read {at[0]}"
    return f"bit line {at[-1]}, vector {at[0]}"


def loop_run(info: ArrayInfo, got: LoopRun, loop: ClosedLoop, n: int, steps: int) -> LoopRun:
    """`got`, if it is a possible result of `steps` steps of `loop` for `n` sequences.

    Raises:
        InvalidReading: shapes, numbers that are not finite, voltages above the read limit, readings as `readout`.
    """
    passes = 1 if info.input_signed else 2  # word lines without sign take signed numbers in two products
    reads, vectors = steps * len(loop.banks) * passes, len(loop.spreads) * n
    wanted = {
        "outputs": (n, steps, loop.kernels),
        "voltages": (reads, vectors, info.rows),
        "times": (reads,),
    }
    for name, shape in wanted.items():
        values = getattr(got, name)
        if values.shape != shape or not np.isfinite(values).all():
            raise InvalidReading(f"{info.name}, read_loop: {name} must be finite and of shape {shape}")
    if [state.shape for state in got.states] != [state.shape for state in loop.rest(n)] or not all(
        np.isfinite(state).all() for state in got.states
    ):
        raise InvalidReading(f"{info.name}, read_loop: states must be finite and keep their shapes")
    peak = float(np.abs(got.voltages).max())
    if peak > info.limits.read_voltage:
        raise InvalidReading(
            f"{info.name}, read_loop: its driver reports that it drove {peak:g} V, "
            f"at most {info.limits.read_voltage:g} V is allowed"
        )
    readout(info, "read_loop", got.readout, (reads, vectors, info.cols))
    return got


def report(info: ArrayInfo, got: ProgrammingReport) -> ProgrammingReport:
    """`got`, if its arrays have the shape of the array and its numbers are possible.

    Raises:
        InvalidReading: they are not.
    """
    for name in ("target", "achieved", "pulses", "outcome"):
        values = getattr(got, name)
        if values.shape != info.shape:
            raise InvalidReading(
                f"{info.name}, program_conductances: the report's {name} has shape {values.shape}, not {info.shape}"
            )
    bad = got.selected & ~np.isfinite(got.achieved)
    if bad.any():
        row, col = np.argwhere(bad)[0]
        raise InvalidReading(
            f"{info.name}, program_conductances: {got.achieved[row, col]} S came for word line {row}, bit line {col}"
        )
    if not (math.isfinite(got.tolerance) and math.isfinite(got.seconds) and (got.pulses >= 0).all()):
        raise InvalidReading(f"{info.name}, program_conductances: the report has no tolerance, seconds or pulses")
    return got


def device_time(info: ArrayInfo, seconds: float) -> float:
    """Seconds of a device's clock; InvalidReading if it is not a finite number."""
    if not math.isfinite(seconds):
        raise InvalidReading(f"{info.name}, time: {seconds} s was returned, which is not a valid time; open it again")
    return seconds
