"""The contract where numba is missing, and with a class beside it that has wishes of its own for what derives."""

import subprocess
import sys
from typing import ClassVar

from imssa_lab.contract.hal import CrossbarArray

WITHOUT = """
import sys
from importlib.util import find_spec
import importlib.util
importlib.util.find_spec = lambda name, package=None: None if name == "numba" else find_spec(name, package)
from imssa_lab.contract.jit import AVAILABLE, compiled
def doubled(x):
    return 2 * x
print(AVAILABLE, compiled(doubled) is doubled, "numba" in sys.modules)
"""


def test_without_numba_loops_stay_python_and_nothing_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "False"], done.stderr


def test_a_second_base_class_hears_of_classes_that_derive_from_both() -> None:
    class Listed:
        names: ClassVar[list[str]] = []

        def __init_subclass__(cls) -> None:
            super().__init_subclass__()
            Listed.names.append(cls.__name__)

    class Both(CrossbarArray, Listed):
        pass

    assert Listed.names == [Both.__name__]
