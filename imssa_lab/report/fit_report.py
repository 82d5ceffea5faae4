"""The goodness-of-fit report of `imssa fit`: one HTML page for people, one JSON file for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.report.page import picture, templates, write_new
from imssa_lab.report.plots.style import BINS, BLUE, GREY, ORANGE, PANEL, edges_over, one_axis
from twin.fitting.fit_outcome import Curve, Group, Outcome

LEVELS_BAR, BANDS_BAR = 0.9, 0.9
COVERAGE_REACH = 0.02
"""Accepted deviation of the coverage from 0.9; three standard errors if these are larger, as with few cells."""

_PER_PAGE = 12


def write_fit_report(folder: Path, outcome: Outcome, provenance: Mapping[str, str]) -> None:
    """Write report.html and report.json into a folder.

    Raises:
        ConfigError: one of them exists or cannot be written.
    """
    environment = templates()
    environment.filters["si"] = _si
    page = environment.get_template("fit.html.j2").render(
        outcome=outcome,
        verdicts=fit_verdicts(outcome),
        pictures=[picture(figure, caption, narrow=narrow) for figure, caption, narrow in _figures(outcome)],
        provenance=provenance,
        poor=[p for p in outcome.parameters if p.poor],
    )
    text = json.dumps(as_json(outcome, provenance), indent=1, allow_nan=False)
    for name, content in (("report.html", page), ("report.json", text)):
        write_new(folder / name, content)


def fit_verdicts(outcome: Outcome) -> list[tuple[str, str, bool]]:
    """Each test on held-out cells: what was tested, the result beside its bound, whether it passed; may be empty."""
    found = []
    if outcome.groups:
        share = outcome.levels_passed
        found.append(
            (
                f"levels and times that follow the law (KS p > 0.01), of {len(outcome.groups)}",
                f"{100 * share:.1f} %, at least {100 * LEVELS_BAR:.0f} % wanted",
                share >= LEVELS_BAR,
            )
        )
        inside = outcome.coverage
        cells = sum(group.cells for group in outcome.groups)
        reach = max(COVERAGE_REACH, 3 * math.sqrt(0.9 * 0.1 / cells))
        low, high = 0.9 - reach, 0.9 + reach
        found.append(
            (
                "unused cells inside the fitted 90 % interval",
                f"{100 * inside:.1f} %, {100 * low:.1f} to {100 * high:.1f} % wanted",
                low <= inside <= high,
            )
        )
    if outcome.bands:
        share = outcome.bands_passed
        found.append(
            (
                f"bands of levels with a KS distance of at most 0.05, of {len(outcome.bands)}",
                f"{100 * share:.1f} %, at least {100 * BANDS_BAR:.0f} % wanted",
                share >= BANDS_BAR,
            )
        )
    return found


def as_json(outcome: Outcome, provenance: Mapping[str, str]) -> dict[str, Any]:
    """All numbers of the report."""
    return {
        "quantity": outcome.quantity,
        "provenance": dict(provenance),
        "facts": outcome.facts,
        "verdicts": [{"what": w, "measured": m, "good": good} for w, m, good in fit_verdicts(outcome)],
        "levels_passed": _number(outcome.levels_passed),
        "bands_passed": _number(outcome.bands_passed),
        "steps_passed": _number(outcome.steps_passed),
        "coverage": _number(outcome.coverage),
        "coverage_by_time": {f"{time:g}": value for time, value in outcome.coverage_by_time().items()},
        "held_out_log_likelihood": outcome.held_out,
        "chosen_model": outcome.chosen,
        "groups": [asdict(group) for group in outcome.groups],
        "steps": [asdict(one) for one in outcome.steps],
        "bands": [asdict(group) for group in outcome.bands],
        "parameters": [asdict(p) | {"poor": p.poor} for p in outcome.parameters],
        "remarks": [asdict(remark) for remark in outcome.remarks],
        "undetermined": outcome.undetermined,
        "sections": outcome.sections,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _si(value: float, unit: str) -> str:
    """A number for people, with four digits; conductances and currents in microsiemens and microamperes."""
    if unit in ("S", "A"):
        return f"{1e6 * value:.4g} µ{unit}"
    return f"{value:.4g}" + ("" if unit == "1" else f" {unit}")


def _figures(outcome: Outcome) -> list[tuple[Figure, str, Figure | None]]:
    """Figures with what they show; the last is for a phone, where it is not the same."""
    parts = [outcome.curves[i : i + _PER_PAGE] for i in range(0, len(outcome.curves), _PER_PAGE)]
    figures: list[tuple[Figure, str, Figure | None]] = [
        (_curves(part, 3), "Points: measured. Line: the fitted law.", _curves(part, 1)) for part in parts
    ]
    if outcome.groups:
        caption = f"KS p of all {len(outcome.groups)} groups; a true law scatters them evenly from 0 to 1."
        figures.append((_p_values(outcome.groups), caption, None))
        caption = f"Share of unused cells inside the fitted 90 % interval, in each of {len(outcome.groups)} groups."
        figures.append((_coverage(outcome.groups), caption, None))
    return figures


def _curves(curves: list[Curve], most: int) -> Figure:
    """Curves as panels, so many in a row at most."""
    across = min(most, len(curves))
    down = -(-len(curves) // across)
    figure = Figure(figsize=(PANEL[0] * across, 3.1 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for place, axis in enumerate(axes.flat):
        if place < len(curves):
            _draw(axis, curves[place])
        else:
            axis.set_axis_off()
    return figure


def _draw(axis: Axes, curve: Curve) -> None:
    law = curve.x if curve.fitted is None else curve.fitted
    axis.plot(curve.x, law, color=ORANGE, linewidth=1.5, label="law", zorder=2)
    axis.plot(curve.x, curve.y, ".", color=BLUE, markersize=4, label="measured", zorder=3)
    if curve.log:
        axis.set(xscale="log", yscale="log")
    axis.set_title(curve.title)
    axis.set_xlabel(curve.x_label)
    axis.set_ylabel(curve.y_label)
    axis.grid(alpha=0.3)
    axis.legend()


def _p_values(groups: list[Group]) -> Figure:
    figure, axis = one_axis()
    axis.hist([group.ks_p for group in groups], bins=edges_over(0.0, 1.0), color=BLUE)
    axis.axhline(len(groups) / BINS, color=GREY, linestyle=":", label="a true law")
    axis.axvline(0.01, color=ORANGE, linestyle="--", label="p = 0.01")
    axis.set(xlabel="KS p on unused cells", ylabel="groups")
    axis.legend()
    return figure


def _coverage(groups: list[Group]) -> Figure:
    figure, axis = one_axis()
    place = np.arange(len(groups))
    axis.plot(place, [100 * group.coverage for group in groups], ".", color=BLUE)
    axis.axhline(90, color=ORANGE)
    axis.set(xlabel="group, in the order of the table", ylabel="inside (%)")
    return figure
