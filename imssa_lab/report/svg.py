"""Pictures as SVG files that are the same bytes for the same picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure


def save_svg(figure: Figure, path: Path) -> None:
    """Write `figure`, without the date, and with names of its parts that do not change from run to run."""
    with rc_context({"svg.hashsalt": "imssa_lab"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
