"""What a pulse does to cells that it is not meant for: on the same word line, on the same bit line, on neither.

They see a part of its voltage, and are cells like the selected one: a pulse of that voltage acts on them. Below the
threshold they creep, slowly and for as long as pulses last, towards where a full pulse would bring them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

_LEAST = 1e-12
"""S; the lowest conductance that a cell creeps towards, as ln G ends nowhere."""


class CreepTime(Section):
    """How long a voltage below the threshold takes to move a cell by a factor e of its way in ln G.

    time(U) = time 10^(-(U - voltage)/v_per_decade). That the time to switch falls exponentially with the voltage is
    what sets fast writing against half-selected cells (speed-disturb dilemma; Luo et al., IEEE Trans. Electron
    Devices 60:3760, 2013, from memory); assumed: one such time for all of the way, exponential in ln G.
    """

    voltage: float = Field(gt=0, description="V across the cell at which `time` is given")
    time: float = Field(gt=0, description="s, median of the cells, at that voltage")
    v_per_decade: float = Field(gt=0, description="V more for a tenth of the time")
    spread: float = Field(default=0.0, ge=0, description="sd of ln time from cell to cell")

    def rate(self, voltage: FloatArray, score: FloatArray) -> FloatArray:
        """1/s at these voltages (V, as sizes), for cells with these scores, standard normal; broadcast together."""
        decades = (voltage - self.voltage) / self.v_per_decade
        with np.errstate(over="ignore"):  # far above `voltage`: at once
            return np.asarray(10.0**decades / self.time * np.exp(-self.spread * score))


class HalfSelected(Section):
    """Cells that are not selected see shares of every pulse's voltage, the pulses of one call one after another.

    A negative share is a voltage against the direction of the pulse: a SET then lowers. With V/2 the shares are 1/2,
    1/2 and 0; with V/3 they are 1/3, 1/3 and -1/3 (both schemes: IEEE Trans. Electron Devices 61:2820, 2014). They
    are those of lines without resistance. A transistor that is off leaves its cell nothing; where one gate line opens
    the transistors of a whole line, the gate of the pulse acts on those cells too.
    """

    same_word: float = Field(ge=-1, le=1, description="part of a pulse's voltage across cells of its word line")
    same_bit: float = Field(ge=-1, le=1, description="across cells of its bit line")
    neither: float = Field(default=0.0, ge=-1, le=1, description="across all other cells")
    set: CreepTime | None = Field(default=None, description="raising below the threshold; None: nothing below it")
    reset: CreepTime | None = Field(
        default=None, description="lowering below it, by the same keys; None: nothing below it"
    )

    @model_validator(mode="after")
    def _does_something(self) -> HalfSelected:
        if not (self.same_word or self.same_bit or self.neither) and (self.set or self.reset):
            raise ValueError(
                "half_selected: creep is given, but no cell sees any voltage; give same_word or same_bit"
            )
        return self

    def around(self, cell: int, shape: tuple[int, int]) -> Neighbours:
        """The cells that see something of a pulse on `cell`, flat, in an array of (rows, cols)."""
        row, col = divmod(cell, shape[1])
        shares = np.full(shape, self.neither)
        shares[row, :], shares[:, col] = self.same_word, self.same_bit
        shares[row, col] = 0.0
        seeing = np.flatnonzero(shares)
        return Neighbours(seeing, shares.ravel()[seeing])


class Neighbours(NamedTuple):
    """Cells, flat, (n,), and which part of a pulse's voltage they see, (n,)."""

    cells: NDArray[np.intp]
    shares: FloatArray


def crept(before: FloatArray, towards: FloatArray, exposure: FloatArray, *, rises: bool) -> FloatArray:
    """Conductances in S after cells crept towards others, (n,), in ln G by exp(-exposure); none goes back.

    Args:
        before: S; towards: S; exposure: how long, in units of the time of `CreepTime`; all (n,).
    """
    ahead = towards > before if rises else towards < before
    way = np.log(np.maximum(towards, _LEAST) / np.maximum(before, _LEAST))
    return np.where(ahead, before * np.exp(-np.expm1(-exposure) * way), before)
