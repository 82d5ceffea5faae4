"""Arguments of the calls to an array: copied and then checked, before anything is sent.

The copy comes first: whoever else holds the caller's array may write it at any time. Both signs of every limit are
checked. SI units: S, V, s.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from imssa_lab.contract.array_types import ArrayInfo, BoolArray, FloatArray, PulseLimits, Pulses
from imssa_lab.contract.checks import containers
from imssa_lab.contract.errors import LimitError


def voltages(info: ArrayInfo, values: object) -> FloatArray:
    """Word-line voltages, V, (rows,) or (n, rows), that may be driven while reading.

    Raises:
        LimitError: wrong container or shape, not finite, beyond the read limit, negative on an unsigned input.
    """
    rows, limit, signed = info.word_lines
    given: FloatArray = (
        values.copy()  # as `floats` would, without its words: a product of one vector takes microseconds
        if type(values) is np.ndarray and values.dtype.char == "d"
        else containers.floats(values, f"{info.name}: voltages", ("row",), "V", (limit, -limit))
    )
    shape = given.shape
    if len(shape) not in (1, 2) or shape[-1] != rows or shape[0] == 0:
        raise LimitError(f"{info.name}: voltages must have shape ({rows},) or (n, {rows}), got {shape}")
    low, high = given.item(given.argmin()), given.item(given.argmax())  # NaN where there is one
    if -limit <= low and high <= limit and (signed or low >= 0):
        return given
    name = info.name
    peak = max(-low, high)
    if not math.isfinite(peak):
        raise LimitError(f"{name}: voltages hold NaN or infinity; drive an idle word line with 0 V")
    if peak > limit:
        asked, most = apart(peak, limit)
        raise LimitError(f"{name}: {asked} V asked on a word line while reading, at most {most} V is allowed")
    raise LimitError(f"{name}: negative voltage asked, but this array drives none on word lines; read in two passes")


def mask(info: ArrayInfo, values: object) -> BoolArray:
    """A mask of cells, (rows, cols); None for all. LimitError: another shape or type."""
    if values is None:
        return np.ones(info.shape, dtype=np.bool_)
    chosen = containers.flags(values, f"{info.name}: mask")
    if chosen.shape != info.shape:
        raise LimitError(f"{info.name}: mask must be bool of shape {info.shape}, got {chosen.shape}")
    return chosen


def averages(info: ArrayInfo, value: object) -> int:
    """How often to read; LimitError: no whole number of 1 or more."""
    times = containers.count(value, f"{info.name}: averages")
    if times < 1:
        raise LimitError(f"{info.name}: averages={times}, must be 1 or more")
    return times


def pulses(info: ArrayInfo, asked: Pulses) -> Pulses:
    """Checked pulses: `asked`, where values that are a limit rounded to float32 are replaced by that limit.

    Raises:
        LimitError: wrong shape, or a voltage, gate or width outside the limits of that kind of pulse.
    """
    name, kind = info.name, asked.kind
    if asked.voltage.shape != info.shape:
        raise LimitError(f"{name}: pulses of shape {asked.voltage.shape}, the array is {info.shape}")
    limits: PulseLimits | None = getattr(info.limits, kind.value.lower())
    if limits is None:
        raise LimitError(f"{name}: this array has no {kind} pulses")
    if any(given.kind == "f" and given.itemsize < 8 for given in asked.given):
        volts, gates, width = (
            containers.meant(np.array(values, ndmin=1), given, allowed)
            for values, given, allowed in (
                (asked.voltage, asked.given[0], (limits.voltage_max,)),
                (asked.gate, asked.given[1], (limits.gate_max,)),
                (asked.width, asked.given[2], (limits.width_min, limits.width_max)),
            )
        )
        asked = replace(asked, voltage=volts, gate=gates, width=float(width[0]))
    if not limits.width_min <= asked.width <= limits.width_max:
        raise LimitError(
            f"{name}: {kind} width {asked.width:g} s asked, "
            f"{limits.width_min:g} to {limits.width_max:g} s are allowed"
        )
    for key, limit in (("voltage", limits.voltage_max), ("gate", limits.gate_max)):
        values = getattr(asked, key)
        # these pass over NaN: cells left alone
        low, peak = (float(of.reduce(values, axis=None, initial=limit)) for of in (np.fmin, np.fmax))
        if not (low > 0 and peak <= limit):
            above, most = apart(peak if low > 0 else low, limit)
            raise LimitError(f"{name}: {kind} {key} {above} V asked, at most {most} V is allowed")
    return asked


def targets(info: ArrayInfo, values: object, chosen: BoolArray) -> FloatArray:
    """Target conductances, S, (rows, cols).

    Raises:
        LimitError: wrong container or shape; where `chosen` selects, not finite or outside the window.
    """
    name, window = info.name, info.window
    target: FloatArray = containers.floats(
        values, f"{name}: target", containers.CELLS, "S", (window.low, window.high)
    )
    if target.shape != info.shape:
        raise LimitError(f"{name}: target has shape {target.shape}, the array {info.shape}")
    bad = chosen & ~np.isfinite(target)
    if bad.any():
        row, col = np.argwhere(bad)[0]
        raise LimitError(f"{name}: target of word line {row}, bit line {col} is not finite; leave it out by mask")
    outside = chosen & ((target < window.low) | (target > window.high))
    if outside.any():
        row, col = np.argwhere(outside)[0]
        raise LimitError(
            f"{name}: target {target[row, col] * 1e6:.4g} uS of word line {row}, bit line {col} lies outside the "
            f"conductance window {window.low * 1e6:g} to {window.high * 1e6:g} uS "
            f"({np.count_nonzero(outside)} such cells)"
        )
    return target


def apart(asked: float, limit: float) -> tuple[str, str]:
    """Two numbers as text, with as few digits as are needed to distinguish them.

    >>> apart(0.21, 0.2), apart(0.2 + 1e-9, 0.2)
    (('0.21', '0.2'), ('0.200000001', '0.2'))
    """
    for digits in range(6, 18):
        texts = f"{asked:.{digits}g}", f"{limit:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
