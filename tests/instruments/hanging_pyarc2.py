"""A library as pyarc2 without a board: its calls hang, or panic, as a word of the firmware file says.

It waits as the real one does, with Python's lock held, so that nothing else runs in its process. What reaches the
electrodes is noted, a word a line, in the file beside the firmware; "closed" means 0 V at the gates of transistors.
"""

import ctypes
import enum
import os
from pathlib import Path
from typing import Any

import numpy as np


class ArC2Error(Exception):
    pass


class PanicException(BaseException):
    pass


class AuxDACFn(enum.Enum):
    SELL = enum.auto()
    SELH = enum.auto()


class IdleMode(enum.Enum):
    SoftGnd = enum.auto()


def find_ids() -> list[int]:
    _hang_if(os.environ.get("ARC_TWO_HANGS", ""), "find_ids")
    return [0]


class Instrument:
    def __init__(self, number: int, firmware: str) -> None:
        self._said = Path(firmware).read_text()
        self._journal = Path(firmware).with_suffix(".journal").open("a", buffering=1)
        if "refused" in self._said:
            raise ArC2Error("no such device")

    def read_slice_open(self, highs: Any, ground_after: bool) -> Any:
        assert highs.dtype == np.uint64
        _hang_if(self._said, "read")
        if "panic" in self._said:
            raise PanicException("unwrap")
        self._journal.write("read\n")
        return np.arange(64.0) * 1e-6

    def finalise_operation(self, mode: IdleMode) -> None:
        assert mode is IdleMode.SoftGnd
        self._journal.write("ground\n")

    def ground_all(self) -> "Instrument":
        self._journal.write("ground\n")
        return self

    def config_aux_channels(self, voltages: list[tuple[AuxDACFn, float]]) -> "Instrument":
        assert all(isinstance(function, AuxDACFn) for function, _ in voltages)
        if (AuxDACFn.SELH, 0.0) in voltages:
            self._journal.write("closed\n")
        return self

    def busy(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name not in ("config_selectors", "connect_to_gnd", "config_channels", "execute"):
            raise AttributeError(name)
        return lambda *given: self


def _hang_if(said: str, word: str) -> None:
    os.write(1, b"libraries print\n")
    if word in said:
        ctypes.PyDLL(None).sleep(1000)
