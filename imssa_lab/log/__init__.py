"""The record of a bench day: every call to every array in one HDF5 file, crash-safe, replayable bit for bit."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imssa_lab.log.reader import Run, open_run
    from imssa_lab.log.recorded import Recorded, record
    from imssa_lab.log.replayed import Replayed, open_replay
    from imssa_lab.log.writer import RunLog

__all__ = ["Recorded", "Replayed", "Run", "RunLog", "open_replay", "open_run", "record"]

_MODULE_OF = {
    "Run": "reader",
    "open_run": "reader",
    "Recorded": "recorded",
    "record": "recorded",
    "Replayed": "replayed",
    "open_replay": "replayed",
    "RunLog": "writer",
}


def __getattr__(name: str) -> Any:  # lazy, so that h5py is loaded only when a log is used
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'imssa_lab.log' has no attribute {name!r}")
    return getattr(import_module(f"imssa_lab.log.{_MODULE_OF[name]}"), name)
