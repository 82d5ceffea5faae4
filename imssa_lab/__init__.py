"""Trained S4D state-space kernels on memristor crossbar arrays, real or simulated.

Public names are handed on lazily: ``import imssa_lab`` loads no torch, h5py, pyvisa or matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imssa_lab.contract import own_packages

if TYPE_CHECKING:
    from imssa_lab.contract.errors import (
        BundleError,
        ConfigError,
        DeploymentError,
        ImssaError,
        InstrumentError,
        LimitError,
        LinkError,
        LogError,
        ReplayMismatch,
        TrainingError,
    )
    from imssa_lab.contract.hal import (
        ArrayInfo,
        CellOutcome,
        ColumnCalibration,
        CrossbarArray,
        Limits,
        ProgrammingReport,
        Pulses,
        Readout,
    )
    from imssa_lab.log import Recorded, Replayed, RunLog, open_run, record
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.station.addresses import open_array, open_arrays
    from protocols.deployment.deployment import deploy
    from protocols.programmers.hysteretic import WriteVerify

__version__ = "0.1.0"

_HOME = {
    "imssa_lab.contract.errors": (
        "BundleError",
        "ConfigError",
        "DeploymentError",
        "ImssaError",
        "InstrumentError",
        "LimitError",
        "LinkError",
        "LogError",
        "ReplayMismatch",
        "TrainingError",
    ),
    "imssa_lab.contract.hal": (
        "ArrayInfo",
        "CellOutcome",
        "ColumnCalibration",
        "CrossbarArray",
        "Limits",
        "ProgrammingReport",
        "Pulses",
        "Readout",
    ),
    "imssa_lab.log": ("Recorded", "Replayed", "RunLog", "open_run", "record"),
    "imssa_lab.s4d.bundle": ("KernelBundle",),
    "imssa_lab.station.addresses": ("open_array", "open_arrays"),
    "protocols.deployment.deployment": ("deploy",),
    "protocols.programmers.hysteretic": ("WriteVerify",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ArrayInfo",
    "BundleError",
    "CellOutcome",
    "ColumnCalibration",
    "ConfigError",
    "CrossbarArray",
    "DeploymentError",
    "ImssaError",
    "InstrumentError",
    "KernelBundle",
    "LimitError",
    "Limits",
    "LinkError",
    "LogError",
    "ProgrammingReport",
    "Pulses",
    "Readout",
    "Recorded",
    "ReplayMismatch",
    "Replayed",
    "RunLog",
    "TrainingError",
    "WriteVerify",
    "deploy",
    "open_array",
    "open_arrays",
    "open_run",
    "record",
]


def __getattr__(name: str) -> Any:  # a module attribute may be of any type
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'imssa_lab' has no attribute {name!r}")
    module = _MODULE_OF[name]
    own_packages.check(own_packages.needed_by(module))
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
