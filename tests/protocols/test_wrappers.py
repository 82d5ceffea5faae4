"""Wrappers: one place says how a call passes, and each sees what it is for, whichever way it comes."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.contract.wrapper import Wrapper
from imssa_lab.log import Recorded, record
from protocols.chip_record import ChipRecord
from protocols.cost.reads_counted import ReadsCounted
from protocols.wrappers.budget import Account, Budget
from protocols.wrappers.counted import Counted
from protocols.wrappers.device_time import DeviceTimeReported
from protocols.wrappers.metered import Metered
from protocols.wrappers.progress import ProgressReported
from protocols.wrappers.recipe_override import RecipeOverride
from protocols.wrappers.session_counts import Tally
from tests.protocols.test_recurrence import StepByStep, chip, needs_numba, run
from twin import DigitalTwin

ROOT = Path(__file__).parents[2]
WRAPPERS = [Recorded, Counted, DeviceTimeReported, Metered, ProgressReported, RecipeOverride, Tally, ReadsCounted]
CALLS = {"_read_mvm", "_read_loop", "_read_conductances", "_apply_pulses", "_calibrate", "_wait"}
CHOSEN = {RecipeOverride: {"_default_programmer"}, Recorded: {"_program", "_time", "_make_safe", "_close", "_lower"}}


def test_these_are_all_the_wrappers() -> None:
    found = {
        node.name
        for root in ("imssa_lab", "protocols", "twin", "drivers")
        for path in (ROOT / root).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and "Wrapper" in [ast.unparse(base) for base in node.bases]
    }
    assert found == {kind.__name__ for kind in WRAPPERS}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapper_defines_no_call_again(kind: type[Wrapper]) -> None:
    """What it does of the contract is in hooks; how a call passes is said in `Wrapper` alone."""
    assert not vars(kind).keys() & CALLS
    methods = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
    contract = methods & vars(CrossbarArray).keys() - {"__init__"}
    assert contract <= CHOSEN.get(kind, set()) | {"_close"}


@needs_numba
def test_a_loop_passes_all_of_them_in_one_call_and_each_product_is_seen(tmp_path: Path) -> None:
    seconds: dict[str, list[float]] = {"loop": [], "step by step": []}
    for way, innermost in (("loop", chip()), ("step by step", StepByStep(chip()))):
        with (
            ChipRecord(tmp_path / "chips.sqlite") as chips,
            record(tmp_path / f"{way}.h5", [innermost], {}) as (recorded,),
        ):
            array: CrossbarArray = Counted(RecipeOverride(recorded, None, {}), chips)
            array = ProgressReported(array, np.full((64, 64), 5e-5), lambda done, total: None)
            array = DeviceTimeReported(Metered(array, Account(Budget())), seconds[way].append)
            assert run(array, 3, 20).tobytes() == run(chip(), 3, 20).tobytes()
    assert seconds["loop"][-1] == pytest.approx(seconds["step by step"][-1])
    assert len(seconds["loop"]) == 1
    assert len(seconds["step by step"]) == 20 * 2  # null control: banks one after the other


def test_stuck_cells_reach_the_chip_record_through_the_log(tmp_path: Path) -> None:
    """A loop asks the outermost array; what it found belongs to those inside as well."""
    twin = DigitalTwin("supert-a0-easy", (8, 8), seed=1)
    mask = np.zeros((8, 8), dtype=bool)
    mask[1, 1:3] = True
    twin.cells.stick(mask & (np.arange(8) == 1), 2e-6)
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        counted = Counted(twin, chips)
        with record(tmp_path / "run.h5", [ProgressReported(counted, twin.cells.conductance, print)], {}) as (array,):
            report = array.program_conductances(np.full((8, 8), 100e-6), mask)
        assert [(f.row, f.col, f.fault, f.found_by) for f in chips.faults(counted.chip)] == [
            (1, 1, "stuck low", "programming")
        ]
        assert np.array_equal(chips.wear(counted.chip).pulses, report.pulses)
