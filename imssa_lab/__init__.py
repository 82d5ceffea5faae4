"""Trained S4D state-space kernels on memristor crossbar arrays, real or simulated.

Public names are imported when they are first used: ``import imssa_lab`` loads no torch, h5py, pyvisa or matplotlib.
They are listed in the stub beside this file, with their homes, for type checkers and for us.
"""

from typing import Any

from imssa_lab.contract import own_packages
from imssa_lab.contract.stub_names import homes_in_stub

__version__ = "0.1.0"

_HOME_OF = homes_in_stub(__file__)
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:  # a module attribute may be of any type
    if name not in _HOME_OF:
        raise AttributeError(f"module 'imssa_lab' has no attribute {name!r}")
    home = _HOME_OF[name]
    own_packages.check(own_packages.needed_by(home))
    return getattr(__import__(home, fromlist=(name,)), name)  # as in: from home import name


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
