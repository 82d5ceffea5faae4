"""Virtual instruments for a command: served by a process of their own, reached through their drivers."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.operating_system import PSEUDO_TERMINALS

KINDS = ("scpi", "supert-a0", "smu-matrix", "openmena")
"""What `imssa serve` can be."""
NUMBERED_KINDS = ("scpi", "supert-a0")
"""Kinds of which one address with {index} names many."""
ARRAYS_PER_BOARD = 3
_PATIENCE = 10.0
_CODE = "from imssa_lab.cli import main; main()"


@contextmanager
def virtual_arrays(kind: str, seed: int, arrays: int) -> Iterator[str]:
    """The address of `arrays` arrays behind instruments of this kind, ``{index}`` counting them from 0.

    The chips have the seeds from `seed` on. The instruments stop when the block is left.

    Raises:
        ConfigError: no such kind, or they do not start.
    """
    if kind not in NUMBERED_KINDS:
        raise ConfigError(f"virtual instruments: there is no {kind!r}; write one of {', '.join(NUMBERED_KINDS)}")
    with tempfile.TemporaryDirectory(prefix="imssa-") as folder:
        command = [sys.executable, "-c", _CODE, "serve", kind, "--seed", str(seed)]
        if kind == "supert-a0":
            boards = max(-(-arrays // ARRAYS_PER_BOARD), 2)
            command += ["--count", str(boards)]
            command += ["--link", str(Path(folder) / "board")] if PSEUDO_TERMINALS else ["--port", "0"]
        else:
            command += ["--count", str(max(arrays, 2))]
        # in a session of its own: Ctrl-C is for the script, which makes the instruments safe through their drivers
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        ) as served:
            assert served.stdout is not None
            try:
                address = served.stdout.readline().strip()
                if not address:
                    _, error_text = served.communicate()
                    raise ConfigError(f"virtual {kind}: it does not start: {error_text.strip()}")
                yield address
            finally:
                served.send_signal(signal.SIGTERM)
                try:
                    served.communicate(timeout=_PATIENCE)
                except subprocess.TimeoutExpired:
                    served.kill()
