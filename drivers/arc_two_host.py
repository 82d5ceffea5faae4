"""A process of its own for the maker's library of ArC TWO: ``python -P arc_two_host.py LIBRARY PATHS``.

The library keeps Python's lock while it waits for its board (pyarc2 0.6, src/lib.rs), so in one process nothing could
keep a deadline. Requests (number, name, arguments) come pickled on stdin, replies (number, kind, value) go to stdout.
A string ``AuxDACFn.SELH`` among the arguments stands for that member of the library. Where stdin ends, whoever asked
is gone, and the electrodes are grounded. It imports nothing of ours: it runs as a file.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import sys
from typing import Any

_NOT_OURS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals to all processes of a terminal or a job: whoever asks decides what comes of them."""


class _Host:
    """The library and, once there is one, the instrument."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._instrument: Any = None

    def answer(self, name: str, given: tuple[Any, ...]) -> Any:
        """What one call of the library gives; None where it gives the instrument for further calls."""
        if name == "find_ids":
            return list(self._library.find_ids())
        if name == "Instrument":
            self._instrument = self._library.Instrument(*given)
            return None
        got = getattr(self._instrument, name)(*(self._meant(each) for each in given))
        return None if got is self._instrument else got

    def ground(self) -> None:
        """As the driver makes it safe."""
        if self._instrument is not None:
            self._instrument.ground_all()
            self._instrument.config_selectors([])
            self._instrument.config_aux_channels([(self._library.AuxDACFn.SELH, 0.0)])
            self._instrument.execute()

    def _meant(self, given: Any) -> Any:
        if isinstance(given, str):
            kind, _, member = given.partition(".")
            return getattr(getattr(self._library, kind), member)
        if isinstance(given, (list, tuple)):
            return type(given)(self._meant(each) for each in given)
        return given


def main() -> None:
    """Answer until stdin ends."""
    for name in _NOT_OURS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no reply
    sys.path[:] = json.loads(sys.argv[2])
    host = _Host(importlib.import_module(sys.argv[1]))
    while True:
        try:
            number, name, given = pickle.load(sys.stdin.buffer)
        except EOFError:
            host.ground()
            return
        try:
            reply = number, "", host.answer(name, given)
        except BaseException as error:  # noqa: BLE001 - the library panics with one
            reply = number, type(error).__name__, str(error)
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    main()
