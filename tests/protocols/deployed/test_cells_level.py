"""The cells level can fail: each class of cells is judged by itself, within a tolerance that follows the window."""

import numpy as np
import pytest

from imssa_lab.contract.array_types import FloatArray, Window
from imssa_lab.contract.cell_classes import CellClass, CellMap, ClassShare, cell_shares, made_up_for
from protocols.deployment.verification import Bounds, LevelResult, verify_cells

SHAPE, WINDOW = (64, 64), Window(low=2e-6, high=150e-6)


def plan(moved: int = 1624, kernels: int = 9000, window: Window = WINDOW) -> list[CellMap]:
    """Seven arrays on target, of whose cells so many had to move: a ternary net, as deployments have them."""
    maps = []
    for _ in range(7):
        target = np.full(SHAPE, window.low)
        target.flat[: moved // 7] = window.high
        in_kernels = np.zeros(SHAPE, dtype=bool)
        in_kernels.flat[: kernels // 7] = True
        maps.append(CellMap(target, target.copy(), in_kernels))
    return maps


def judged(maps: list[CellMap], window: Window = WINDOW) -> LevelResult:
    return verify_cells(maps, window, Bounds())[0]


def wrong(maps: list[CellMap], cells: int, off: float, start: int = 0) -> None:
    """So many cells off their targets by `off` (S), from place `start` of each array on."""
    each = -(-cells // len(maps))
    for cells_map in maps:
        cells_map.achieved.flags.writeable = True
        cells_map.achieved.flat[start : start + each] += off


def test_a_healthy_chip_passes_and_says_what_a_fresh_one_would_show() -> None:
    level = judged(plan())
    assert level.passed
    assert level.figures["had_to_move_cells"] == 1624
    assert level.figures["had_to_move_share_never_programmed"] == 0
    assert level.figures["all_programmed_cells_share_never_programmed"] > 0.94  # so this figure alone shows nothing


def test_a_chip_that_was_never_programmed_fails() -> None:
    maps = [CellMap(cells.target, np.full(SHAPE, WINDOW.low), cells.kernels) for cells in plan()]
    assert not judged(maps).passed
    assert judged(maps).measured == 0


def test_six_and_a_half_per_cent_of_the_cells_that_had_to_move_fail() -> None:
    maps = plan()
    wrong(maps, 105, -20e-6)
    level = judged(maps)
    assert level.figures["all_programmed_cells_share"] > 0.99
    assert not level.passed
    few = plan()
    wrong(few, 70, -20e-6)
    assert judged(few).passed  # null control: 4 % may be wrong


@pytest.mark.parametrize(("start", "name"), [(400, CellClass.ZERO), (3000, CellClass.BETWEEN)])
def test_every_class_can_fail_by_itself(start: int, name: CellClass) -> None:
    maps = plan()
    wrong(maps, 7 * 1100, 20e-6, start)
    level, shares = verify_cells(maps, WINDOW, Bounds())
    assert not level.passed
    assert min(shares.classes, key=lambda each: each.share).name == name


@pytest.mark.parametrize("error", ["one cell in ten wrong", "sd of ten per cent"])
def test_ten_per_cent_of_a_narrow_window_fail(error: str) -> None:
    narrow = Window(low=0.0, high=25e-6)
    maps = plan(window=narrow)
    assert judged(maps, narrow).passed
    for index, cells in enumerate(maps):
        rng, spoilt = np.random.default_rng(index), cells.achieved.copy()
        if error == "one cell in ten wrong":
            spoilt[rng.random(SHAPE) < 0.1] += 5e-6  # inside the 10 uS that were one tolerance for all windows
        else:
            spoilt += 2.5e-6 * rng.standard_normal(SHAPE)
        maps[index] = CellMap(cells.target, spoilt, cells.kernels)
    assert not judged(maps, narrow).passed


def pair(stands: float, partner: float) -> tuple[FloatArray, FloatArray]:
    """Wanted and achieved of one pair, +148 uS wanted, whose first cell stands at `stands`, S."""
    return np.array([[150e-6, 2e-6]]), np.array([[stands, partner]])


def test_a_stuck_cell_counts_as_made_up_for_only_where_the_difference_is_right() -> None:
    stuck = np.array([[True, False]])
    assert made_up_for(*pair(190e-6, 42e-6), stuck, 10e-6).tolist() == [[True, False]]
    assert not made_up_for(*pair(190e-6, 2e-6), stuck, 10e-6).any()  # the partner stayed
    assert not made_up_for(*pair(190e-6, 42e-6), np.zeros_like(stuck), 10e-6).any()  # nobody found it stuck
    assert not made_up_for(*pair(151e-6, 2e-6), stuck, 10e-6).any()  # in tolerance by itself


def test_no_cell_that_had_to_move_shows_nothing() -> None:
    assert not judged(plan(moved=0)).passed


def test_a_tolerance_in_siemens_is_refused() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        Bounds(tolerance=10e-6)


def test_cells_that_had_to_move_are_counted_by_thirds_of_the_way() -> None:
    target = np.array([[2e-6, 20e-6], [80e-6, 150e-6]])
    shares = cell_shares([CellMap(target, np.full((2, 2), 20e-6))], WINDOW, 10e-6)
    found = [(level.name, level.cells, level.inside) for level in shares.levels]
    moved = CellClass.MOVED
    assert found == [
        (f"{moved}, to 12-58 uS", 1, 1),
        (f"{moved}, to 58-104 uS", 1, 0),
        (f"{moved}, to 104-150 uS", 1, 0),
    ]


def test_the_share_of_a_chip_never_programmed_is_a_fraction() -> None:
    assert ClassShare("some", cells=200, inside=190, made_up=0, null=150).null_share == 0.75
