"""The pictures of a run, each with what it is of, of how many, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray

from imssa_lab.log.run import Run
from imssa_lab.log.write.other_readings import MEASUREMENTS
from imssa_lab.report import measured, plots, report_tables
from imssa_lab.report.measured.deployment_result import Outcome
from imssa_lab.report.page import Drawing
from imssa_lab.report.plots.maps import worst_array
from protocols.cost.energy_figures import EnergyTable, energy_of_inference

_FEWEST_REPEATS = 16
MOST_PICTURES = 20


def run_pictures(run: Run, outcome: Outcome | None, data: xarray.Dataset) -> Iterator[Drawing]:
    """All pictures that a run has something for, in the order of a page.

    Args:
        outcome: of a deployment that came to its end; data: what `measured.programmed` made of the run.

    Raises:
        LogError: damaged records.
    """
    if outcome is not None:
        yield from _deployment(outcome)
    held = measured.held_layers(run)
    if held is not None:
        yield Drawing(
            "layers-on-arrays",
            plots.layers_on_arrays(held),
            "Which array holds which layer of the net, by the last plan. A layer that is not named is digital. Grey "
            "cells hold no weight; cells between kernels that are read together are among them.",
            (held.record,),
            plots.layers_on_arrays(held, narrow=True),
        )
    if data.sizes["array"]:
        yield from _programming(run, data)
    yield from _products(run)
    yield from _repeats(run)
    if run.records(MEASUREMENTS):
        readings = measured.other_instruments(run)
        records = tuple(int(readings[f"{name} record"].values[-1]) for name in readings.data_vars)
        caption = "What other instruments measured meanwhile; every reading is a dot."
        yield Drawing("other-instruments", plots.other_instruments(readings), caption, records)


def _deployment(outcome: Outcome) -> Iterator[Drawing]:
    record = (outcome.record,)
    if "accuracy" in outcome.result:  # a net that gives values has none
        values = report_tables.accuracy_values(outcome)
        yield Drawing(
            "accuracy",
            plots.accuracy_bars(values, outcome.task_tests, report_tables.least_accuracy(outcome), outcome.chance),
            "Accuracy in software, on the arrays, and of the control without memory, all on the same test sequences."
            + ("" if outcome.chance else " Chance is not drawn: the log does not say how many classes there are."),
            record,
        )
    yield Drawing(
        "kernel-nrmse",
        plots.nrmse_histogram(outcome),
        "How far each kernel's output strays from the exact one, in closed loop on real input. None is left out.",
        record,
    )
    yield Drawing(
        "kernel-responses",
        plots.kernel_overlay(outcome),
        "Impulse responses on the arrays over the exact ones. Four kernels: the best, the median, that at 90 % and "
        f"the worst of {len(outcome.result['kernel_nrmse'])}, by NRMSE on real input.",
        record,
        plots.kernel_overlay(outcome, narrow=True),
    )
    if outcome.result.get("inference"):
        spent = energy_of_inference(outcome.result["inference"]["mended"], EnergyTable.load())
        parts = [
            ("conversions", spent.reads.conversions),
            ("line drives", spent.reads.line_drives),
            ("digital rest", spent.rest),
            ("all in int8", spent.digital),
        ]
        yield Drawing(
            "energy",
            plots.energy_ranges([(words, each.low, each.high) for words, each in parts], own=3),
            "Energy of one inference, from the least to the most of published figures (imssa cost lists them); "
            "below, the whole network in 8-bit integers instead. Left out: the cells' own V² G, as nobody says how "
            "long they are read; wires, amplifiers, leakage, control.",
            record,
        )


def _programming(run: Run, data: xarray.Dataset) -> Iterator[Drawing]:
    worst = worst_array(data)
    record = (int(data["record"].sel(array=worst)),)
    records = tuple(sorted({int(value) for value in data["record"].values}))
    count = data.sizes["array"]
    arrays = "one array" if count == 1 else f"all {count} arrays"
    yield Drawing("yield", plots.yield_by_pulse(data), _YIELD.format(arrays=arrays), _ends(run, "program"))
    yield Drawing("error-by-level", plots.error_by_level(data), _BY_LEVEL.format(arrays=arrays), records)
    caption = (
        f"What the programmed cells of {arrays} hold by their last reading, by level of their target. Stuck cells "
        "are in it; cells without a target are not."
    )
    yield Drawing("conductance-by-level", plots.conductance_by_level(data), caption, records)
    which = "" if count == 1 else f", the one of {count} with most cells out of tolerance"
    yield Drawing(
        "conductance-maps",
        plots.conductance_maps(data, worst),
        f"Conductances of array {worst}{which}. In the error map, white cells are on target; grey cells were not "
        "programmed.",
        record,
        plots.conductance_maps(data, worst, narrow=True),
    )
    if count > 1:
        caption = f"Errors of {arrays}; a bad line would show as a stripe. Grey cells were not programmed."
        yield Drawing("error-maps", plots.error_maps(data), caption, records, plots.error_maps(data, narrow=True))
    caption = f"What all programmed cells of {arrays} hold, by the last reading of them, against their targets."
    yield Drawing("error-histogram", plots.error_histogram(data), caption, records)
    yield Drawing(
        "error-quantiles",
        plots.error_quantiles(data),
        "The same errors against a normal law of the same quartiles: dots that leave the line are tails heavier than "
        "chance. Of many cells every tail is drawn, and an even sample of the middle.",
        records,
    )
    if int(data["pulses"].max()):
        yield from _trajectory(run, data, worst)


_YIELD = (
    "Cells of {arrays} within tolerance by their last reading, against the pulses that they took. Cells that only "
    "had to stay at the bottom of the window are left out; stuck cells are not."
)
_BY_LEVEL = (
    "How near the cells of {arrays} that had to move are to their targets, by level of the target. Cells that only "
    "had to stay at the bottom of the window are left out; stuck cells are not."
)


def _ends(run: Run, table: str) -> tuple[int, ...]:
    seqs = [int(value) for value in run.column(table, "seq")]
    return tuple(seqs if len(seqs) < 3 else [seqs[0], seqs[-1]])


def _trajectory(run: Run, data: xarray.Dataset, array: int) -> Iterator[Drawing]:
    """The cell of an array that took most pulses; none where the run holds the report of them alone, as a replay."""
    one = data.sel(array=array)
    pulses = np.where(np.isfinite(one["target"].values), one["pulses"].values, -1)
    row, col = (int(value) for value in np.unravel_index(int(pulses.argmax()), pulses.shape))
    steps = measured.trajectory(run, array, row, col)
    if not steps.sizes["step"]:
        return
    target, tolerance = float(one["target"].values[row, col]), float(one["tolerance"])
    wide, narrow = (
        plots.pulse_trajectory(steps, target=target, tolerance=tolerance, narrow=narrow) for narrow in (False, True)
    )
    caption = f"One cell, the one of array {array} that took most pulses: what it held after each, and the pulses."
    yield Drawing(
        "trajectory", wide, caption, (int(steps["record"].values[0]), int(steps["record"].values[-1])), narrow
    )


def _products(run: Run) -> Iterator[Drawing]:
    if run.records("read_mvm"):
        data = measured.products(run)
        known = np.isfinite(data["expected"].values).any(axis=1)
        if known.any():
            seen = data["record"].values[known]
            ends = tuple(sorted({int(seen[0]), int(seen[-1])}))
            left = f"{known.sum()} products, an even sample of the run; those of cells never read are left out."
            caption = f"Products against voltage times the conductances last read. {left}"
            yield Drawing("products", plots.mvm_scatter(data), caption, ends)
            caption = f"The same products column by column. {left}"
            yield Drawing("product-columns", plots.column_residuals(data), caption, ends)
    calibrations = measured.calibrated(run)
    count = calibrations.sizes["array"]
    if count:
        records = tuple(sorted({int(value) for value in calibrations["record"].values if value >= 0}))
        caption = (
            f"How columns were corrected, and what the correction leaves; one dot a column, "
            f"{count} of {len(run.infos)} arrays have a calibration."
        )
        yield Drawing(
            "calibration",
            plots.column_calibration(calibrations),
            caption,
            records,
            plots.column_calibration(calibrations, narrow=True),
        )


def _repeats(run: Run) -> Iterator[Drawing]:
    for array in range(len(run.infos)):
        data = measured.repeats(run, array)
        if data.sizes["read"] < _FEWEST_REPEATS:
            continue
        ends = tuple(sorted({int(data["record"].values[0]), int(data["record"].values[-1])}))
        which = f"Array {array}, the first that was read often enough; {data.sizes['cell']} cells"
        caption = f"{which}. How far they moved by themselves after their last pulse; noise of readings is in it."
        yield Drawing("relaxation", plots.relaxation_fans(data), caption, ends)
        yield Drawing("noise", plots.noise_spectra(data), f"{which}. Noise of readings at even times.", ends)
        return
