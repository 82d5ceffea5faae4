"""What a computer may lack, for tests: this folder first in PYTHONPATH, and REFUSED says what is taken away.

REFUSED=posix: what Windows has not, and with it pyserial's serial ports (`make test-bare` runs the tests so).
REFUSED=home: an installation that cannot be written, and a user without a home, also for root, whom no rights stop.
"""

import os
import select
import signal
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_MODULES = ("fcntl", "termios", "tty", "pty")
_INSTALLED = Path(__file__).parents[2]
_plain = tempfile.TemporaryFile


class _Refusal:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Nothing to say of other modules."""
        if name in _MODULES:
            raise ImportError(f"{name} is refused, as on a system without POSIX")
        return None


def _unless_installed(*given: Any, **options: Any) -> Any:
    """As numba tries whether it can write beside a file."""
    if Path(options.get("dir") or tempfile.gettempdir()).is_relative_to(_INSTALLED):
        raise PermissionError(30, "Read-only file system", str(options["dir"]))
    return _plain(*given, **options)


match os.environ.get("REFUSED"):
    case "posix":
        sys.meta_path.insert(0, _Refusal)
        for module, names in ((os, ("pread", "pwrite", "openpty")), (select, ("poll",)), (signal, ("pthread_kill",))):
            for name in names:
                delattr(module, name)
    case "home":
        os.environ |= {"HOME": "/proc/no-home", "XDG_CACHE_HOME": "/proc/no-home/.cache"}  # /proc takes no folders
        os.environ.pop("NUMBA_CACHE_DIR", None)
        tempfile.TemporaryFile = _unless_installed
