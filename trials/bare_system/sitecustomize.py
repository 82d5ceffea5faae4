"""A system without POSIX, for tests: this folder first in PYTHONPATH takes away what Windows has not.

`make test-bare` runs the tests so. What pyserial itself needs goes with it: there are no serial ports then.
"""

import os
import select
import signal
import sys
from importlib.machinery import ModuleSpec

REFUSED = ("fcntl", "termios", "tty", "pty")


class _Refusal:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Nothing to say of other modules."""
        if name in REFUSED:
            raise ImportError(f"{name} is refused, as on a system without POSIX")
        return None


sys.meta_path.insert(0, _Refusal)
for module, names in ((os, ("pread", "pwrite", "openpty")), (select, ("poll",)), (signal, ("pthread_kill",))):
    for name in names:
        delattr(module, name)
