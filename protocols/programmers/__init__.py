"""Ways of bringing cells to their targets, each a `Programmer` of the contract, chosen by name."""

from protocols.programmers.both_sides import BothSides
from protocols.programmers.gate_start import GateStart
from protocols.programmers.hysteretic import WriteVerify
from protocols.programmers.incremental import Incremental
from protocols.programmers.mvm_tuning import MvmTuning
from protocols.programmers.programmer_names import (
    GIVEN_RECIPE,
    PROGRAMMERS,
    make_programmer,
    recipe_inside,
    recipe_of,
)
from protocols.programmers.residual import ResidualPairs, combine
from protocols.programmers.sequential_reading import SequentialTest

__all__ = [
    "GIVEN_RECIPE",
    "PROGRAMMERS",
    "BothSides",
    "GateStart",
    "Incremental",
    "MvmTuning",
    "ResidualPairs",
    "SequentialTest",
    "WriteVerify",
    "combine",
    "make_programmer",
    "recipe_inside",
    "recipe_of",
]
