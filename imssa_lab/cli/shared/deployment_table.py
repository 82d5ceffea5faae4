"""The deterministic numbers of a deployment, as JSON for machines and as rows of a table for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imssa_lab.cli.shared.json_output import answer, json_asked, json_text
from imssa_lab.cli.shared.session import console, facts_table
from imssa_lab.report.inference_words import inference_facts

if TYPE_CHECKING:
    from rich.table import Table

    from imssa_lab.contract.array_types import FloatArray
    from imssa_lab.contract.cell_classes import ClassShare
    from protocols.deployment.deployment import Deployment


def result_text(deployment: Deployment, bundle_digest: str, reference: Mapping[str, float]) -> str:
    """The result as JSON text: no wall time, no path, so that the same run gives the same bytes. NaN is null.

    Args:
        reference: test scores of the float model ("float") and the null control ("null"), fractions.
    """
    import numpy as np

    from imssa_lab.s4d.scores import nrmse_of

    scores = {
        "float": reference.get("float"),
        "quantised": deployment.software_accuracy,
        "on_arrays": deployment.accuracy,
        "null_control": deployment.null_accuracy,
        "predicted_before_programming": deployment.predicted_accuracy,
    }
    if deployment.goal == "values":
        scores = {name: None if value is None else nrmse_of(value) for name, value in scores.items()}
    facts = {
        "passed": deployment.passed,
        "accuracy" if deployment.goal == "classes" else "nrmse": scores,
        "levels": [
            {
                "level": level.level,
                "passed": level.passed,
                "verdict": level.verdict,
                "requirement": level.requirement,
                "measured": level.measured,
                "bound": level.bound,
                "figures": dict(level.figures),
            }
            for level in deployment.levels
        ],
        "kernel_nrmse_median": float(np.median(deployment.kernel_nrmse)),
        "kernel_nrmse": deployment.kernel_nrmse.tolist(),
        "kernels_by_name": dict(deployment.kernel_ends),
        **({"dense_nrmse": _of_dense(deployment)} if deployment.mapping.tiles else {}),
        "cells": [each.facts() for each in _classes(deployment)],
        "cells_by_outcome": _outcomes(deployment),
        "cells_not_reached": _not_reached(deployment),
        "remedies": [str(remedied) for remedied in deployment.remedies],
        "kernels_changed_by_faults": deployment.mended,
        "budget_spent": deployment.spent,
        "clock_leaps": deployment.clock_leaps,
        "product_reads": deployment.product_reads,
        "reads_a_step": {"planned": deployment.reads_a_step[0], "mended": deployment.reads_a_step[1]},
        "inference": None
        if deployment.inference is None
        else dict(zip(("planned", "mended"), (each.facts() for each in deployment.inference), strict=True)),
        "pulses": deployment.pulses,
        "pulses_to_find_stuck_cells": deployment.surveyed,
        "reads": sum(report.reads for report in deployment.reports),
        "arrays": deployment.mapping.arrays,
        "kernels": len(deployment.mapping.kernels),
        **({} if deployment.mapping.packing == "time" else {"packing": deployment.mapping.packing}),
        "device_seconds": deployment.seconds,
        "bundle_sha256": bundle_digest,
        "achieved_sha256": _digest(deployment.achieved),
        "impulses_sha256": _digest([measured for measured, _ in deployment.impulses]),
        "predictions": deployment.predictions.tolist(),
    }
    return json_text(facts)


def _of_dense(deployment: Deployment) -> dict[str, list[float]]:
    """By dense layer on arrays the NRMSE of every output."""
    return {name: errors.tolist() for name, errors in deployment.dense_nrmse.items()}


def _classes(deployment: Deployment) -> list[ClassShare]:
    """The programmed cells by class, those that had to move by level as well, and all of them."""
    shares = deployment.cell_shares
    return [] if shares is None else shares.all_parts()


def _outcomes(deployment: Deployment) -> dict[str, int]:
    """How many of the selected cells ended how."""
    from imssa_lab.contract.hal import CellOutcome

    counts = {end: sum(int((ends == end).sum()) for ends in deployment.cell_ends) for end in CellOutcome}
    return {end.name.lower(): count for end, count in counts.items() if count and end is not CellOutcome.NOT_SELECTED}


def _not_reached(deployment: Deployment) -> list[list[int | str]]:
    """Array, row, column and outcome of every selected cell that is not where it should be."""
    import numpy as np

    from imssa_lab.contract.hal import CellOutcome

    return [
        [index, int(row), int(col), CellOutcome(ends[row, col]).name.lower()]
        for index, ends in enumerate(deployment.cell_ends)
        for row, col in np.argwhere((ends != CellOutcome.NOT_SELECTED) & (ends != CellOutcome.REACHED))
    ]


def _digest(arrays: list[FloatArray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


def show_result(
    deployment: Deployment, reference: Mapping[str, float], seconds: Mapping[str, float], paths: Mapping[str, str]
) -> None:
    """The whole outcome for people, and for machines what result.json holds, with files and wall times.

    Args:
        seconds: wall time by stage; paths: by name, what was written, the "result" among it.
    """
    console().print(_table(deployment, reference, seconds, paths))
    if json_asked():
        result = json.loads(Path(paths["result"]).read_text(encoding="utf-8"))
        answer(result | {"files": paths, "wall_seconds": seconds})


def _table(
    deployment: Deployment, reference: Mapping[str, float], seconds: Mapping[str, float], paths: Mapping[str, str]
) -> Table:
    """The whole outcome as one table; wall times come last."""
    import numpy as np

    table = facts_table(f"deployment {'verified' if deployment.passed else 'NOT verified'}")
    what = "accuracy" if deployment.goal == "classes" else "NRMSE"
    for name, value in (
        ("float", reference.get("float")),
        ("quantised, in software", deployment.software_accuracy),
        ("on the arrays", deployment.accuracy),
        ("null control without memory", deployment.null_accuracy),
    ):
        table.add_row(f"{what}, {name}", "not known" if value is None else deployment.shown(value))
    if deployment.predicted_accuracy is not None:
        table.add_row(f"{what}, predicted from known faults", deployment.shown(deployment.predicted_accuracy))
    table.add_section()
    for level in deployment.levels:
        colour = "green" if level.passed else "bold red"
        words = f"[{colour}]{level.verdict}[/]: {level.requirement} {level.bound:g}; is {level.measured:.4g}"
        table.add_row(f"level {level.level}", words)
    table.add_section()
    for each in _classes(deployment):
        table.add_row(f"cells, {each.name}", str(each))
    missed = {name: count for name, count in _outcomes(deployment).items() if name != "reached"}
    if missed:
        table.add_row(
            "cells out of tolerance", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in missed.items())
        )
    table.add_row("median kernel NRMSE on real input", f"{float(np.median(deployment.kernel_nrmse)):.4f}")
    for name, errors in deployment.dense_nrmse.items():
        arrays = sorted({tile.array for tile in deployment.mapping.tiles if tile.layer == name})
        held = ", ".join(map(str, arrays))
        table.add_row(f"{name}, NRMSE of its median output", f"{float(np.nanmedian(errors)):.4f}, on array {held}")
    table.add_row("programming pulses", f"{deployment.pulses}, {deployment.surveyed} of them to find stuck cells")
    planned, mended = deployment.reads_a_step
    table.add_row("products a time step", f"{mended}, as planned without faults {planned}")
    if deployment.inference is not None:
        for fact, words in inference_facts(deployment.inference[1].facts()):
            table.add_row(fact, words)
    rows, cols = deployment.mapping.shape
    kernels = len(deployment.mapping.kernels)
    packing = deployment.mapping.packing
    table.add_row("arrays", f"{deployment.mapping.arrays} of {rows}x{cols}, {kernels} kernels packed for {packing}")
    table.add_row("device time, all arrays", f"{deployment.seconds:.1f} s")
    if deployment.mended:
        table.add_row("kernels changed by faults", str(deployment.mended))
    for remedied in deployment.remedies:
        table.add_row("remedy", str(remedied))
    if deployment.spent:
        table.add_row("budget", "[bold red]spent before the end[/bold red]")
    table.add_section()
    for name, path in paths.items():
        table.add_row(name, path)
    table.add_section()
    for stage, value in seconds.items():
        table.add_row(f"wall time, {stage}", f"{value:.1f} s")
    table.add_row("wall time", f"{sum(seconds.values()):.1f} s")
    return table
