"""How numbers become word-line voltages: analog DAC, bit-serial or unary pulse trains."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section


class Inputs(Section):
    """The word-line drivers.

    analog: one voltage a vector, in steps of `bits` where given. bit-serial: `bits` products a vector, least
    significant bit first, every word line at full scale or at 0 V. unary: 2^bits - 1 products a vector, a word line
    at full scale in as many of them as its number says. Word lines that are not `signed` take no negative voltage;
    signed numbers then need two passes, which is the caller's business (`imssa_lab.contract.hal`).
    """

    coding: Literal["analog", "bit-serial", "unary"] = "analog"
    bits: int | None = Field(default=None, ge=2, le=16, description="None, for analog only: continuous")
    full_scale: float = Field(gt=0, description="V")
    signed: bool = True

    @model_validator(mode="after")
    def _countable(self) -> Inputs:
        if self.coding != "analog" and self.bits is None:
            raise ValueError(f"inputs: {self.coding} coding needs bits")
        if self.coding == "unary" and (self.bits or 0) > 10:
            raise ValueError(f"inputs: unary coding of {self.bits} bits takes {2 ** (self.bits or 0) - 1} products")
        return self

    @property
    def pulse_counts(self) -> tuple[int, ...]:
        """How many steps of a number the product of each pulse counts for."""
        if self.coding == "analog" or self.bits is None:
            return (1,)
        if self.coding == "unary":
            return (1,) * ((1 << self.bits) - 1)
        return tuple(1 << bit for bit in range(self.bits))

    @property
    def weights(self) -> tuple[float, ...]:
        """What the product of each pulse counts in the sum; they add up to 1."""
        counts = self.pulse_counts
        levels = sum(counts)
        return tuple(count / levels for count in counts)

    @property
    def step(self) -> float | None:
        """Smallest step of a word-line voltage as coded, V; None where it is continuous."""
        if self.bits is None:
            return None
        one_sign = self.coding != "analog" or not self.signed
        levels: int = 2**self.bits - 1 if one_sign else 2 ** (self.bits - 1) - 1
        return self.full_scale / levels

    @property
    def pulse_step(self) -> float | None:
        """What the voltages of single pulses are whole multiples of, V; None where they are continuous."""
        return self.step if self.coding == "analog" else self.full_scale


def dac_voltage(voltage: FloatArray, inputs: Inputs) -> FloatArray:
    """The voltage that is driven for a requested one, V, same shape."""
    return voltage if inputs.step is None else np.asarray(np.rint(voltage / inputs.step) * inputs.step)


def pulse_trains(voltage: FloatArray, inputs: Inputs) -> FloatArray:
    """Word-line voltages of every product, V, (n * pulses, rows), the pulses of a vector in a row.

    Args:
        voltage: asked, V, (n, rows), with magnitudes up to the full scale.
    """
    if inputs.coding == "analog" or inputs.bits is None or inputs.step is None:
        return dac_voltage(voltage, inputs)
    number = np.rint(np.abs(voltage) / inputs.step).astype(np.int64)[:, None, :]
    if inputs.coding == "unary":
        on = number > np.arange(2**inputs.bits - 1)[:, None]
    else:
        on = (number >> np.arange(inputs.bits)[:, None]) & 1 == 1
    trains = np.where(on, np.copysign(inputs.full_scale, voltage)[:, None, :], 0.0)
    return np.ascontiguousarray(trains.reshape(-1, voltage.shape[1]))


def weighted_sum(current: FloatArray, inputs: Inputs) -> FloatArray:
    """The results of the vectors, (n, cols), from the products (n * pulses, cols) of their pulse trains."""
    weights = inputs.weights
    by_vector = current.reshape(-1, len(weights), current.shape[1])
    total = weights[0] * by_vector[:, 0]
    for i, weight in enumerate(weights[1:], start=1):  # one order of summing for any n: same bits
        total = total + weight * by_vector[:, i]
    return np.asarray(total)
