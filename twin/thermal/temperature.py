"""Temperature of a chip: how much faster its cells relax, and how much better they conduct."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from pydantic import Field

from imssa_lab.contract.errors import ConfigError, LimitError
from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

_BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018
_Times = TypeVar("_Times", float, FloatArray)


class Temperature(Section):
    """Two thermally activated effects, by Arrhenius; everything else in the profile does not depend on temperature.

    Relaxation takes exp(-E/k (1/reference - 1/T)) of its time: retention of HfOx filaments is activated so, with the
    energy of switching (Microelectron. Eng. 2017, 10.1016/j.mee.2017.04.032). A cell of conductance G, at the
    reference, conducts G exp(A/k (1/reference - 1/T)) with A = conduction_ev / (1 + G/metallic): thermally activated
    hopping in weak cells, hardly any in metallic ones; this form is assumed, and that pulses, noise and converters
    stay as they are.
    """

    reference: float = Field(gt=0, allow_inf_nan=False, description="K at which the rest of the profile was measured")
    chip: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="K of the chip when it is opened; None: the reference"
    )
    relaxation_ev: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="eV, activation of relaxation")
    conduction_ev: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="eV, activation of the conductance of the weakest cells"
    )
    metallic: float = Field(default=20e-6, gt=0, description="S at which half of that activation is left")

    def hotter(self, kelvin: float) -> float:
        """1/reference - 1/T over k, 1/eV: above zero where the chip is hotter than the reference."""
        return (1.0 / self.reference - 1.0 / kelvin) / _BOLTZMANN


class Warmth:
    """The temperature of one chip and the age of its cells, which runs faster where it is hot.

    Attributes:
        kelvin: temperature now.
    """

    KEPT = ("kelvin", "_since", "_age")

    def __init__(self, law: Temperature) -> None:
        self._law = law
        self.kelvin = law.reference if law.chip is None else law.chip
        self._since = self._age = 0.0

    def aged(self, times: _Times) -> _Times:
        """How long relaxation has gone on, s at the reference, at these device times, s, not before the last turn."""
        faster = math.exp(self._law.relaxation_ev * self._law.hotter(self.kelvin))
        return self._age + faster * (times - self._since)

    def turn(self, kelvin: float, time: float) -> None:
        """Go to another temperature, at once, at the device time `time`, s.

        Raises:
            LimitError: not a temperature.
        """
        if not (math.isfinite(kelvin) and kelvin > 0):
            raise LimitError(f"a chip cannot have {kelvin!r} K; give a finite temperature above 0 K")
        self._age, self._since, self.kelvin = self.aged(time), time, float(kelvin)

    def conducting(self, conductance: FloatArray) -> FloatArray:
        """What cells of these conductances at the reference conduct now, S, same shape."""
        hotter = self._law.hotter(self.kelvin)
        if hotter == 0.0 or self._law.conduction_ev == 0.0:
            return conductance
        activation = self._law.conduction_ev / (1.0 + conductance / self._law.metallic)
        return np.asarray(conductance * np.exp(activation * hotter))


def turn(warmth: Warmth | None, kelvin: float, time: float) -> None:
    """`Warmth.turn`, of a chip whose profile may say nothing of temperature.

    Raises:
        ConfigError: it says nothing. LimitError: not a temperature.
    """
    if warmth is None:
        raise ConfigError(
            f"{kelvin!r} K asked, but the profile has no section temperature, so nothing depends on it; write one "
            "with reference, relaxation_ev and conduction_ev"
        )
    warmth.turn(kelvin, time)
