"""What the values of the contract say and refuse, against figures worked out by hand."""

import math
from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract import array_types, closed_loop
from imssa_lab.contract.array_types import AdcRanges, PulseKind, Pulses, Window
from imssa_lab.contract.cell_classes import (
    CellClass,
    CellMap,
    CellShares,
    ClassShare,
    cell_shares,
    made_up_for,
    target_levels,
)
from imssa_lab.contract.closed_loop import ClosedLoop, LoopBank
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.contract.programming_report import CellOutcome, ProgrammingReport
from twin import DigitalTwin


def report() -> ProgrammingReport:
    """Errors of +1, -3 and +5 µS; one cell was not selected."""
    target = np.array([[10e-6, 20e-6], [30e-6, np.nan]])
    outcome = [[CellOutcome.REACHED, CellOutcome.REACHED], [CellOutcome.GAVE_UP, CellOutcome.NOT_SELECTED]]
    return ProgrammingReport(
        target,
        target + np.array([[1e-6, -3e-6], [5e-6, np.nan]]),
        np.array([[2, 3], [40, 0]], dtype=np.int32),
        np.array(outcome, dtype=np.uint8),
        4e-6,
        1.5,
        12,
    )


def test_a_report_in_words_counts_every_outcome_of_selected_cells() -> None:
    assert str(report()) == (
        "3 cells, 66.7 % within 4.0 uS by re-read, 45 pulses, 12 reads, 1.5 s (2 reached, 1 gave up)"
    )


def test_a_report_in_a_notebook_gives_mean_and_spread_of_the_errors_in_microsiemens() -> None:
    page = report()._repr_html_()
    spread = np.std([1.0, -3.0, 5.0])
    assert f"mean +1.00 µS, sd {spread:.2f} µS" in page
    assert "66.67 % of 3 cells, ±4 µS" in page
    assert "45, at most 40 to a cell" in page
    assert "not selected" not in page


def test_an_array_in_words_has_its_window_in_microsiemens() -> None:
    info = DigitalTwin(shape=(4, 6)).info
    info = info.model_copy(update={"window": {"low": 2e-6, "high": 1500e-6}})
    facts = dict(info.facts())
    assert facts["conductance window"] == "2 to 1500 µS"
    assert facts["word lines x bit lines"] == "4 x 6"


@pytest.mark.parametrize("volts", [0.0, -0.5])
def test_a_read_voltage_is_above_zero(volts: float) -> None:
    info = DigitalTwin(shape=(2, 2)).info
    with pytest.raises(ValidationError, match="read_voltage"):
        info.model_copy(update={"read_voltage": volts})
    with pytest.raises(ValidationError, match="read_voltage"):
        info.limits.model_copy(update={"read_voltage": volts})


def test_pulse_widths_are_a_range() -> None:
    limits = DigitalTwin(shape=(2, 2)).info.limits.set
    with pytest.raises(ValidationError, match="no pulse width between"):
        limits.model_copy(update={"width_min": 2 * limits.width_max})
    assert limits.model_copy(update={"width_min": limits.width_max}).width_min == limits.width_max


def test_a_target_outside_the_window_is_named_by_the_first_such_cell() -> None:
    array = DigitalTwin(shape=(3, 3))
    target = np.full((3, 3), 50e-6)
    target[1, 2], target[2, 0] = 1.0, 1.0
    with pytest.raises(LimitError, match=r"word line 1, bit line 2 .*2 such cells"):
        array.program_conductances(target)
    target[2, 0] = 50e-6
    with pytest.raises(LimitError, match="1 such cells"):
        array.program_conductances(target)


def test_the_kind_of_a_pulse_may_be_given_as_a_word() -> None:
    volts = np.full((2, 2), 1.0)
    assert Pulses("RESET", volts, volts, 1e-6).kind is PulseKind.RESET  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ERASE"):
        Pulses("ERASE", volts, volts, 1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [array_types, closed_loop])
def test_values_do_not_change_behind_the_back_of_who_holds_them(module: object) -> None:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and is_dataclass(kind)]
    assert kinds
    for kind in kinds:
        value = object.__new__(kind)
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(kind)[0].name, None)


def test_negative_voltages_are_refused_however_small_where_word_lines_take_none() -> None:
    array = DigitalTwin(shape=(2, 2))
    array._info = array.info.model_copy(update={"input_signed": False})
    with pytest.raises(LimitError, match="negative voltage"):
        array.read_mvm([0.05, -0.01])
    assert array.read_mvm([0.05, 0.0]).shape == (2,)


ASKED = (
    "_apply_pulses",
    "_close",
    "_default_programmer",
    "_make_safe",
    "_read_conductances",
    "_read_mvm",
    "_time",
    "_wait",
)


@pytest.mark.parametrize("left_out", ASKED)
def test_a_backend_that_lacks_a_method_cannot_be_made(left_out: str) -> None:
    """All that a twin has, but one."""
    partial = type("Partial", (DigitalTwin,), {left_out: getattr(CrossbarArray, left_out)})
    with pytest.raises(TypeError, match=left_out):
        partial(shape=(2, 2))


def test_averaged_readings_of_cells_use_all_readings() -> None:
    """The sd over cells of 64 averages is about an eighth of that of single readings; read noise is white here."""
    array = DigitalTwin("supert-a0-easy", shape=(32, 32), seed=3)
    single = [array.read_conductances(averages=1) for _ in range(2)]
    averaged = [array.read_conductances(averages=64) for _ in range(2)]
    noise, rest = (np.std(first - second) for first, second in (single, averaged))
    assert rest < 0.5 * noise


def test_limits_may_leave_forming_out() -> None:
    """Forming pulses are then refused, and the rest stays as it was."""
    array = DigitalTwin(shape=(2, 2))
    limits = array.info.limits
    array._info = array.info.model_copy(update={"limits": limits.model_copy(update={"form": limits.set})})
    array.lower_limits(array.info.limits.model_copy(update={"form": None}))
    assert array.info.limits.form is None
    with pytest.raises(LimitError, match="no FORM pulses"):
        array.apply_pulses(Pulses.on(np.ones((2, 2), dtype=bool), "FORM", 2.0, 1.0, 1e-6))


@pytest.mark.parametrize(("first", "fits"), [(4, True), (5, False), (-1, False)])
def test_both_bit_lines_of_a_pair_lie_within_the_array(first: int, fits: bool) -> None:
    one = np.ones((1, 1))
    bank = LoopBank(np.zeros((1, 1), dtype=int), np.full((1, 1), first), 0.1 * one, one, one[0], one[0])
    loop = ClosedLoop([bank], np.zeros((1, 1, 1, 1)))
    if fits:
        loop.check("x", (4, 6), 0.2)
    else:
        with pytest.raises(LimitError, match="outside the array of 4x6"):
            loop.check("x", (4, 6), 0.2)


@pytest.mark.parametrize(
    ("scales", "parts", "multiples"),
    [
        ((1e-9,), 1, (1,)),
        ((2e-9, 3e-9), 1, (2, 3)),
        ((3.5e-9, 17.5e-9, 0.7e-9), 255, (5, 25, 1)),
        ((1e-9, 65 / 64 * 1e-9), 1, (64, 65)),
        ((1e-9, 9 / 8 * 1e-9, 10 / 9 * 1e-9), 1, None),  # the common denominator is 72
        ((1e-9, 66 / 65 * 1e-9), 1, None),
        ((1e-9, 2e-9 * (1 + 5e-10)), 1, (1, 2)),
        ((1e-9, 2e-9 * (1 + 2e-9)), 1, None),
        ((-1e-9, -2e-9), 1, None),
    ],
)
def test_ranges_of_a_converter_have_the_step_of_which_all_are_whole_multiples(
    scales: tuple[float, ...], parts: int, multiples: tuple[int, ...] | None
) -> None:
    found = AdcRanges(bits=8, scale=scales, offset=(0.0,) * len(scales)).common_step(parts)
    assert (None if found is None else found[1]) == multiples
    if found is not None and multiples is not None:
        assert [found[0] * parts * one for one in multiples] == pytest.approx(scales, rel=1e-9)
        assert (math.frexp(found[0])[0] * 2**40).is_integer()  # small multiples of it are exact


# ---- classes of cells: a map whose counts are worked out by hand

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
