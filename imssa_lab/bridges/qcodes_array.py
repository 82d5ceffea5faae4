"""`QcodesArray`: an array as a QCoDeS instrument, for its measurements, stations and databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qcodes.instrument import Instrument
from qcodes.parameters import ParameterWithSetpoints
from qcodes.validators import Arrays

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from imssa_lab.contract.hal import BoolArray, CrossbarArray, Programmer, ProgrammingReport


class QcodesArray(Instrument):
    """Parameters of an array.

    `conductances` (S, over `word_line` and `bit_line`), `currents` (A, over `bit_line`: one product of the voltages
    that `voltages` holds, V), `device_time` (s). Setting `voltages` drives nothing; getting `currents` does.

    Args:
        name: of the instrument in QCoDeS; array: open; closing the instrument closes it.
    """

    def __init__(self, name: str, array: CrossbarArray, **more: Any) -> None:
        super().__init__(name, **more)
        self.array = array
        rows, cols = array.info.shape
        volt = array.info.limits.read_voltage
        word_line = self.add_parameter(
            "word_line", get_cmd=lambda: np.arange(rows), vals=Arrays(shape=(rows,), valid_types=[np.integer])
        )
        bit_line = self.add_parameter(
            "bit_line", get_cmd=lambda: np.arange(cols), vals=Arrays(shape=(cols,), valid_types=[np.integer])
        )
        voltages = self.add_parameter(
            "voltages",
            unit="V",
            set_cmd=None,
            initial_value=np.zeros(rows),
            vals=Arrays(min_value=-volt if array.info.input_signed else 0.0, max_value=volt, shape=(rows,)),
        )
        self.add_parameter(
            "currents",
            unit="A",
            parameter_class=ParameterWithSetpoints,
            setpoints=(bit_line,),
            vals=Arrays(shape=(cols,)),
            get_cmd=lambda: array.read_mvm(voltages()),
        )
        self.add_parameter(
            "conductances",
            unit="S",
            parameter_class=ParameterWithSetpoints,
            setpoints=(word_line, bit_line),
            vals=Arrays(shape=(rows, cols)),
            get_cmd=array.read_conductances,
        )
        self.add_parameter("device_time", unit="s", get_cmd=lambda: array.time)

    def program(
        self, target: ArrayLike, mask: BoolArray | None = None, programmer: Programmer | None = None
    ) -> ProgrammingReport:
        """As `CrossbarArray.program_conductances`."""
        return self.array.program_conductances(target, mask, programmer)

    def get_idn(self) -> dict[str, str | None]:
        """Name and serial number of the array."""
        return {"vendor": None, "model": self.array.info.name, "serial": self.array.info.serial, "firmware": None}

    def close(self) -> None:
        """Make the array safe and close it."""
        self.array.close()
        super().close()
