"""Pictures as SVG: the same bytes for the same picture, and in dark colours where a page is dark."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from imssa_lab.report.plots.style import BLUE, INK, PAPER, PURPLE, SKY, dress

_ON_DARK = {INK: "#e4e4e4", PAPER: "#16181c", BLUE: "#3c9ee0", SKY: "#9bd3f5", PURPLE: "#dd94bd"}
"""Colours that are hard to see on a dark page, and what stands for them there."""


def save_svg(figure: Figure, path: Path) -> None:
    """Write `figure`, without the date, and with names of its parts that do not change from run to run."""
    path.write_text(_svg(figure), encoding="utf-8")


def svg_for_pages(figure: Figure) -> str:
    """A dressed figure that follows the colours of the page which it is in: dark where the reader wants that."""
    text = _svg(dress(figure))
    names = {colour.lower(): f"--c{place}" for place, colour in enumerate(_ON_DARK)}
    text = re.sub(
        "|".join(names), lambda found: f"var({names[found[0].lower()]}, {found[0]})", text, flags=re.IGNORECASE
    )
    dark = "".join(f"{names[colour.lower()]}: {other}; " for colour, other in _ON_DARK.items())
    return text.replace("</style>", f"@media (prefers-color-scheme: dark) {{ svg {{ {dark}}} }}</style>", 1)


def _svg(figure: Figure) -> str:
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "imssa_lab"}):
        # the bytes of `figure.savefig`, which draws a figure with a layout twice
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue().decode()
