"""`write_report`: a deployment as one self-contained HTML file, for a phone, a screen or paper."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from imssa_lab.errors import ConfigError
from imssa_lab.hal import CellOutcome, ProgrammingReport
from protocols.deploy import Deployment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG_TYPE, _PNG_TYPE = "image/svg+xml", "image/png"


def write_report(
    path: str | Path,
    deployment: Deployment,
    *,
    title: str,
    float_accuracy: float | None = None,
    provenance: Mapping[str, str] | None = None,
) -> None:
    """Write the report of a deployment to a new file; it refers to nothing outside itself.

    Args:
        float_accuracy: test accuracy of the float model before quantisation, a fraction.
        provenance: what was run, where and with what, shown as a table.

    Raises:
        ConfigError: the file exists, its folder does not, or matplotlib is not installed; nothing was written.
    """
    where = Path(path)
    if where.exists():
        raise ConfigError(f"{where} exists; choose another name, nothing was overwritten")
    accuracies = _accuracies(deployment, float_accuracy)
    page = _template().render(
        title=title,
        deployment=deployment,
        accuracies=accuracies,
        pictures=_pictures(deployment, accuracies),
        facts=_facts(deployment),
        programming=[_programming_row(report) for report in deployment.reports],
        provenance=provenance or {},
    )
    try:
        with where.open("x", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise ConfigError(f"{where} cannot be written: {error}") from error


def load_plots() -> ModuleType:
    """The module `plots`; ask for it before a long run whose report must not fail for want of matplotlib.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from imssa_lab.report import plots
    except ImportError as error:
        raise ConfigError(
            f'the report needs matplotlib ({error}); install it with `pip install "imssa-lab[plot]"`'
        ) from error
    return plots


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("imssa_lab.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _accuracies(deployment: Deployment, float_accuracy: float | None) -> list[tuple[str, float]]:
    rows = [
        ("float", float_accuracy),
        ("quantised", deployment.software_accuracy),
        ("on arrays", deployment.accuracy),
        ("null control", deployment.null_accuracy),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _facts(deployment: Deployment) -> list[tuple[str, str]]:
    rows, cols = deployment.mapping.shape
    window = deployment.mapping.window
    cells = sum(int(np.isfinite(target).sum()) for target in deployment.targets)
    return [
        ("kernels", str(len(deployment.mapping.kernels))),
        ("arrays", f"{deployment.mapping.arrays} of {rows} x {cols}"),
        ("conductance window", f"{1e6 * window.low:g} to {1e6 * window.high:g} µS"),
        ("cells programmed", str(cells)),
        ("programming pulses", str(deployment.pulses)),
        ("device time, all arrays", f"{deployment.seconds:.1f} s"),
        ("median kernel NRMSE on real input", f"{float(np.median(deployment.kernel_nrmse)):.4f}"),
    ]


def _programming_row(report: ProgrammingReport) -> list[str]:
    ends = [
        f"{np.count_nonzero(report.outcome == end)} {end.name.lower().replace('_', ' ')}"
        for end in CellOutcome
        if end is not CellOutcome.NOT_SELECTED and np.any(report.outcome == end)
    ]
    return [
        str(np.count_nonzero(report.selected)),
        f"{100 * report.within():.2f} %",
        f"±{1e6 * report.tolerance:g} µS",
        str(int(report.pulses.sum())),
        str(report.reads),
        f"{report.seconds:.1f} s",
        ", ".join(ends),
    ]


def _pictures(deployment: Deployment, accuracies: list[tuple[str, float]]) -> list[dict[str, str]]:
    bounds = deployment.bounds
    plots = load_plots()
    targets, achieved = deployment.targets, deployment.achieved
    outside = [np.count_nonzero(np.abs(a - t) > bounds.tolerance) for t, a in zip(targets, achieved, strict=True)]
    worst = int(np.argmax(outside))
    name = f"array {worst}" if len(targets) == 1 else f"array {worst}, the one with most cells out of tolerance"
    return [
        _picture(
            plots.accuracy_bars(accuracies, len(deployment.predictions)),
            "Accuracy in software, on the arrays, and of the control without memory.",
        ),
        _picture(
            plots.error_histogram(targets, achieved, bounds.tolerance),
            "What the cells hold, by a re-read that the programming loop had no part in, against their targets.",
        ),
        _picture(
            plots.nrmse_histogram(deployment.kernel_nrmse, bounds.kernel),
            "How far each kernel's output strays from the exact one, in closed loop.",
        ),
        _picture(
            plots.kernel_overlay(deployment.impulses, deployment.kernel_nrmse),
            "Impulse responses on the arrays over the exact ones, from the best kernel to the worst.",
            wide=True,
        ),
        _picture(
            plots.conductance_maps(targets[worst], achieved[worst], bounds.tolerance, name),
            "Conductances. In the error map white cells stand where they should, grey ones belong to no kernel.",
            wide=True,
            raster=True,
        ),
        _picture(
            plots.error_maps(targets, achieved, bounds.tolerance),
            "Errors of all arrays; a bad line would show as a stripe.",
            wide=True,
            raster=True,
        ),
    ]


def _picture(figure: Figure, caption: str, wide: bool = False, raster: bool = False) -> dict[str, str]:
    """A figure as a data address: vectors for lines, pixels for maps."""
    buffer = BytesIO()
    options: dict[str, Any] = {"format": "png", "dpi": 130} if raster else {"format": "svg"}
    figure.savefig(buffer, **options, metadata=None if raster else {"Date": None})
    kind = _PNG_TYPE if raster else _SVG_TYPE
    source = f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"source": source, "caption": caption, "size": "wide" if wide else "narrow"}
