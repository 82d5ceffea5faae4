"""What a computer may lack, for tests: this folder first in PYTHONPATH, and REFUSED says what is taken away.

REFUSED=posix: what Windows has not, and with it pyserial's serial ports (`make test-bare` runs the tests so). Other
installed packages keep the modules: on Windows they have ways of their own (msvcrt), which are not to be had here.
REFUSED=home: an installation that cannot be written, and a user without a home, also for root, whom no rights stop.
"""

import builtins
import os
import select
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MODULES = ("fcntl", "termios", "tty", "pty")
_NOT_OTHERS = ("serial", "imssa_lab", "drivers", "twin", "protocols")
_import = builtins.__import__
_INSTALLED = Path(__file__).parents[2]
_plain = tempfile.TemporaryFile


def _unless_refused(name: str, scope: Mapping[str, Any] | None = None, *more: Any, **options: Any) -> Any:
    """As `import`; by the file that imports, as a module that others have imported is there for all."""
    where = {} if scope is None else scope
    package = str(where.get("__name__")).partition(".")[0]
    others = "site-packages" in str(where.get("__file__")) and package not in _NOT_OTHERS
    if name in _MODULES and not others:
        raise ImportError(f"{name} is refused, as on a system without POSIX")
    return _import(name, scope, *more, **options)


def _unless_installed(*given: Any, **options: Any) -> Any:
    """As numba tries whether it can write beside a file."""
    if Path(options.get("dir") or tempfile.gettempdir()).is_relative_to(_INSTALLED):
        raise PermissionError(30, "Read-only file system", str(options["dir"]))
    return _plain(*given, **options)


match os.environ.get("REFUSED"):
    case "posix":
        builtins.__import__ = _unless_refused  # type: ignore[assignment]  # takes what it does not look at as it comes
        for module, names in ((os, ("pread", "pwrite", "openpty")), (select, ("poll",)), (signal, ("pthread_kill",))):
            for name in names:
                delattr(module, name)
    case "home":
        os.environ |= {"HOME": "/proc/no-home", "XDG_CACHE_HOME": "/proc/no-home/.cache"}  # /proc takes no folders
        os.environ.pop("NUMBA_CACHE_DIR", None)
        tempfile.TemporaryFile = _unless_installed
