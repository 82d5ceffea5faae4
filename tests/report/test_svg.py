"""Pictures as SVG: what is written is what `Figure.savefig` writes, without its second drawing."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from imssa_lab.report.plots.style import dress, legend_below, panels
from imssa_lab.report.svg import save_svg, svg_for_pages


def drawn(kind: str) -> Figure:
    """Panels, one a row; with a legend below, or a bar of colours."""
    figure, axes = panels(2)
    for axis in axes:
        axis.plot(np.arange(5), np.arange(5) ** 2, label="measured")
        axis.set_xlabel("time, s")
    if kind == "legend":
        legend_below(axes[0])
    elif kind == "colours":
        figure.colorbar(axes[1].scatter(np.arange(5), np.arange(5), c=np.arange(5)), ax=axes[1])
    return dress(figure)


@pytest.mark.parametrize("kind", ["plain", "legend", "colours"])
def test_the_file_is_the_one_that_savefig_writes(kind: str, tmp_path: Path) -> None:
    save_svg(drawn(kind), tmp_path / "ours.svg")
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "imssa_lab"}):
        drawn(kind).savefig(buffer, format="svg", metadata={"Date": None})
    assert (tmp_path / "ours.svg").read_bytes() == buffer.getvalue()


def test_in_a_page_what_is_black_takes_its_colour_from_the_page() -> None:
    text = svg_for_pages(drawn("plain"))
    assert "@media (prefers-color-scheme: dark)" in text
    assert "#1a1a1a" not in text.lower().replace("var(--c0, #1a1a1a)", "")
