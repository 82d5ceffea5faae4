"""A twin wired to two source-measure units and a switch matrix; docs/smu_matrix.md has which.

Electrode voltages follow from what the meters put out and what the relays connect; meters know no limits of cells.
"""

from __future__ import annotations

from imssa_lab.virtual.keithley.meter_2400 import Meter2400
from imssa_lab.virtual.keithley.meter_2450 import Meter2450
from imssa_lab.virtual.keithley.terminal_wiring import Wiring
from imssa_lab.virtual.keithley.virtual_matrices import Matrix707A, Matrix707B, Matrix7001
from imssa_lab.virtual.keithley.virtual_meter import Meter
from twin.periphery.inputs import Inputs
from twin.profile import TwinProfile

METERS = ("2400", "2450")
MATRICES = {"7001": Matrix7001, "707a": Matrix707A, "707b": Matrix707B}

__all__ = [
    "MATRICES",
    "METERS",
    "Matrix707A",
    "Matrix707B",
    "Matrix7001",
    "Meter",
    "Wiring",
    "meter",
    "meter_profile",
]


def meter(
    wiring: Wiring, model: str = "2400", gates: bool = False, cables: str = "FRON", line: float = 50.0
) -> Meter:
    """A source-measure unit of this model, as `Meter`."""
    kind = Meter2450 if model.startswith(("245", "246", "247")) else Meter2400
    return kind(wiring, model, gates, cables, line)


def meter_profile(profile: TwinProfile | str) -> TwinProfile:
    """The profile as source-measure units see the cells: no converters and no column amplifiers, both signs."""
    loaded = profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile)
    columns = loaded.columns.model_copy(update={"gain": 1.0, "gain_spread": 0.0, "offset_spread": 0.0})
    inputs = Inputs(coding="analog", bits=None, full_scale=loaded.inputs.full_scale, signed=True)
    return loaded.model_copy(update={"adc": None, "columns": columns, "inputs": inputs})
