"""The record of a bench day: every call to every array in one HDF5 file, crash-safe, replayable bit for bit."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imssa_lab.log.replay.replay_address import open_replay
    from imssa_lab.log.replay.replayed import Replayed
    from imssa_lab.log.run import Run, open_run
    from imssa_lab.log.write.recorded import Recorded, record
    from imssa_lab.log.write.run_log import RunLog

__all__ = ["Recorded", "Replayed", "Run", "RunLog", "open_replay", "open_run", "record"]

_MODULE_OF = {
    "Recorded": "write.recorded",
    "Replayed": "replay.replayed",
    "Run": "run",
    "RunLog": "write.run_log",
    "open_replay": "replay.replay_address",
    "open_run": "run",
    "record": "write.recorded",
}


def __getattr__(name: str) -> Any:  # lazy, so that h5py is loaded only when a log is used
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'imssa_lab.log' has no attribute {name!r}")
    return getattr(import_module(f"imssa_lab.log.{_MODULE_OF[name]}"), name)
