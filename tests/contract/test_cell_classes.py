"""Which cells count as in tolerance, against a map whose counts are worked out by hand."""

import numpy as np
import pytest

from imssa_lab.contract.array_types import Window
from imssa_lab.contract.cell_classes import (
    CellClass,
    CellMap,
    CellShares,
    ClassShare,
    cell_shares,
    made_up_for,
    target_levels,
)

NONE = np.nan
TOLERANCE = 10e-6
WINDOW = Window(low=10e-6, high=100e-6)
TARGET = 1e-6 * np.array([[100, 100, 30, 10, 15, NONE], [60, 20, 10, 46, 10, NONE]])
ACHIEVED = 1e-6 * np.array([[95, 60, 30, 19.9, 40, 10], [75, 29, 25, NONE, 10, 50]])
KERNELS = np.array([[True] * 6, [True, True, False, True, False, True]])
MADE_UP = np.array([[True, True] + [False] * 4, [False] * 6])  # the first is in tolerance by itself


def counts(part: ClassShare) -> tuple[int, int, int, int]:
    return part.cells, part.inside, part.made_up, part.null


def shares() -> CellShares:
    return cell_shares([CellMap(TARGET, ACHIEVED, KERNELS, MADE_UP)], WINDOW, TOLERANCE)


def test_cells_are_counted_by_class_and_by_level() -> None:
    found = shares()
    assert {part.name: counts(part) for part in found.classes} == {
        "had to move": (5, 2, 1, 0),
        "zero weights": (3, 2, 0, 3),
        "between kernels": (2, 1, 0, 2),
    }
    assert {part.name: counts(part) for part in found.levels} == {
        "had to move, to 20-47 uS": (2, 1, 0, 0),
        "had to move, to 47-73 uS": (1, 0, 0, 0),
        "had to move, to 73-100 uS": (2, 1, 1, 0),
    }
    assert counts(found.whole) == (10, 5, 1, 5)
    assert [part.cells for part in found.all_parts()] == [5, 2, 1, 2, 3, 2, 10]
    assert found.worst == 0.5


def test_shares_are_said_in_words_and_figures() -> None:
    whole = shares().whole
    assert str(whole) == (
        "60.00 % in tolerance (5 of 10, 1 more made up for by their partner); never programmed: 50 %"
    )
    assert whole.facts() == {
        "class": "all programmed cells",
        "cells": 10,
        "in_tolerance": 5,
        "made_up_for_by_partner": 1,
        "share": 0.6,
        "share_never_programmed": 0.5,
    }
    assert "made up" not in str(ClassShare("some", 4, 2, 0, 1))


def test_without_cells_nothing_is_missed_and_nothing_is_shown() -> None:
    none = ClassShare("none", 0, 0, 0, 0)
    assert (none.share, none.null_share) == (1.0, 1.0)
    untouched = cell_shares([CellMap(np.full((2, 2), np.nan), np.zeros((2, 2)))], WINDOW, TOLERANCE)
    assert [counts(part) for part in untouched.classes] == [(0, 0, 0, 0)]
    assert untouched.levels == ()
    assert untouched.worst == 0.0


def test_several_arrays_add_up_and_have_the_widest_tolerance() -> None:
    one = cell_shares([CellMap(TARGET[:, 2:], ACHIEVED[:, 2:])], WINDOW, 2 * TOLERANCE)
    both = CellShares.merged([one, shares()])
    assert both.tolerance == 2 * TOLERANCE
    assert [part.name for part in both.classes] == list(CellClass)
    assert counts(both.whole) == tuple(np.add(counts(one.whole), counts(shares().whole)))
    assert sum(part.cells for part in both.levels) == both.classes[0].cells


def test_levels_of_targets_begin_above_the_tolerance() -> None:
    assert target_levels(TARGET, WINDOW, TOLERANCE).tolist() == [[2, 2, 0, -1, -1, -1], [1, -1, -1, 0, -1, -1]]


def test_a_stuck_cell_is_made_up_for_where_its_pair_has_the_right_difference() -> None:
    wanted = 1e-6 * np.array([[50, 20, 30, 10], [50, 20, 30, 10]])
    achieved = 1e-6 * np.array([[70, 40, 30, 30], [55, 22, 60, 41]])
    stuck = np.array([[True, False, False, True], [True, True, True, False]])
    assert made_up_for(wanted, achieved, stuck, TOLERANCE).tolist() == [
        [True, False, False, False],  # the second pair is 20 uS off
        [False, False, True, False],  # the first pair is in tolerance as it is
    ]


@pytest.mark.parametrize(("off", "inside"), [(9.999e-6, 1), (10.001e-6, 0)])
def test_the_tolerance_is_to_both_sides(off: float, inside: int) -> None:
    for sign in (1, -1):
        one = cell_shares([CellMap(np.array([[50e-6]]), np.array([[50e-6 + sign * off]]))], WINDOW, TOLERANCE)
        assert one.classes[0].inside == inside
