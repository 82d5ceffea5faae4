"""Figures as pictures in notebooks, also where nothing has asked matplotlib for that."""

from __future__ import annotations

import io
import sys
from typing import Any

from matplotlib.figure import Figure


def show_figures_inline() -> None:
    """Let the notebook that this runs in show a `Figure` as PNG, unless it knows a way already; elsewhere nothing."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell: Any = get_ipython()
    if getattr(shell, "kernel", None) is None:
        return
    formatter = shell.display_formatter.formatters["image/png"]
    if Figure not in formatter.type_printers:
        formatter.for_type(Figure, _png)


def _png(figure: Figure) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()
