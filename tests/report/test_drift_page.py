"""The page of a study of aging chips: what it concludes, and that every line of comparison is in it."""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from imssa_lab.report.aged.drift_figures import accuracy_by_time, errors_by_time, moved_by_level
from imssa_lab.report.aged.drift_page import drift_page
from imssa_lab.studies.aged_chips import QUANTILES, ROWS
from imssa_lab.studies.drift_summary import DriftStudy

CHIPS, TIMES = 3, np.array([1.0, 3600.0, 86400.0])
LEVELS = ("to stay at the bottom", "to 12-58 µS", "to 58-104 µS", "to 104-150 µS")


def study(deployed: float = 0.97, at_once: float = 0.98) -> DriftStudy:
    """Three chips with that accuracy as deployed at every time; the second level has no cells."""
    rows = {name: np.full((CHIPS, len(TIMES)), deployed) for name in ROWS}
    rows |= {"recalibrated": np.full((CHIPS, len(TIMES)), 0.975), "kept": np.ones((CHIPS, len(TIMES)))}
    rows |= {"nrmse": np.full((CHIPS, len(TIMES)), 0.1), "cells": np.full((CHIPS, len(TIMES)), 0.97)}
    moved = np.full((CHIPS, len(TIMES), len(LEVELS), len(QUANTILES)), 1e-6) * np.arange(-2, 3)
    moved[:, :, 1] = np.nan
    return DriftStudy(
        name="digits-first, ternary, on <board>",
        times=TIMES,
        until=172800.0,
        software=0.98,
        null=0.6,
        chance=0.5,
        tests=200,
        tolerance=10e-6,
        nrmse_bound=0.35,
        at_once=np.full(CHIPS, at_once),
        refreshed=np.full(CHIPS, 0.978),
        cells_at_once=np.full(CHIPS, 0.99),
        products=2048,
        rows=rows,
        levels=LEVELS,
        moved=moved,
        of_level=np.tile([100.0, 0.0, 40.0, 60.0], (CHIPS, 1)),
    )


def page(found: DriftStudy) -> str:
    return " ".join(drift_page(found, {"command": "imssa study drift"}).split())


def names(figure: Figure) -> set[str]:
    return {words for axis in figure.axes for words in axis.get_legend_handles_labels()[1]}


def test_a_net_that_keeps_its_accuracy_and_one_that_does_not() -> None:
    kept, lost = page(study()), page(study(deployed=0.9))
    assert "After 1 d the net keeps its accuracy." in kept
    assert "1.0 (1.0 to 1.0) as deployed, 0.5 (0.5 to 0.5) with outputs recalibrated, 0.2 (0.2 to 0.2)" in kept
    assert "After 1 d the net has lost its accuracy." in lost
    assert "8.0 (8.0 to 8.0) as deployed" in lost
    assert "on &lt;board&gt;" in kept
    assert "3 of 3" in kept


def test_chips_that_failed_before_they_aged_show_no_drift() -> None:
    failed = replace(study(), cells_at_once=np.array([0.9, 0.99, 0.99]))
    assert "1 of 3 chips had cells out of tolerance before aging." in page(failed)
    assert "keeps its accuracy" not in page(failed)


def test_what_a_net_without_memory_does_as_well_decides_nothing() -> None:
    assert "This decides nothing." in page(study(deployed=0.55, at_once=0.6))


def test_accuracies_are_beside_software_no_memory_and_chance() -> None:
    for narrow in (False, True):
        lines = names(accuracy_by_time(study(), narrow=narrow))
        assert {"software: 98.0 %", "control without memory: 60.0 %", "chance: 50.0 %"} <= lines
    assert not any("memory" in words for words in names(accuracy_by_time(replace(study(), null=None))))
    assert "at most, a deployment's kernels: 0.35" in names(errors_by_time(study()))
    lowest = min(axis.get_ylim()[0] for axis in accuracy_by_time(study(deployed=0.2)).axes)
    assert lowest <= 20.0, "a point below chance is not cut off"


def test_only_levels_with_cells_are_shown() -> None:
    titles = [axis.get_title() for axis in moved_by_level(study()).axes]
    assert titles == [f"{LEVELS[place]}: {cells} cells a chip" for place, cells in ((0, 100), (2, 40), (3, 60))]
    text = page(study())
    assert "12-58" not in text
    assert '<td class="number">+0.00</td><td class="number">-2.00 to +2.00</td>' in text


def test_under_way() -> None:
    done = study()
    empty = {name: np.zeros((0, *getattr(done, name).shape[1:])) for name in ("moved", "of_level")}
    empty |= {name: np.zeros(0) for name in ("at_once", "refreshed", "cells_at_once")}
    rows = {name: np.zeros((0, len(TIMES))) for name in ROWS}
    text = page(replace(done, **empty, rows=rows, software=float("nan")))
    assert "Under way." in text
    assert "No chip is through yet." in text
