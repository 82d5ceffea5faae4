"""Energy of an inference, as ranges over published figures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from imssa_lab.report.plots.style import BLUE, GREY, ORANGE, nothing_to_show, one_axis


def energy_ranges(parts: Sequence[tuple[str, float, float]], *, own: int = 0) -> Figure:
    """From the least to the most that published figures allow, J, on a logarithmic axis.

    Args:
        parts: words, least, most; own: so many of them, the first ones, are of this network on arrays.
    """
    figure, axis = one_axis(0.9 + 0.42 * max(len(parts), 3))
    kept = [(words, low, high, place < own) for place, (words, low, high) in enumerate(parts) if low > 0]
    if not kept:
        nothing_to_show(axis, "no energy is known")
        return figure
    for place, (_, low, high, ours) in enumerate(kept):
        colour = BLUE if ours else ORANGE
        axis.plot([low, high], [place, place], "|-", color=colour, linewidth=4, markersize=10, markeredgewidth=2)
    axis.set_yticks(range(len(kept)), [words for words, *_ in kept])
    axis.set(xscale="log", xlabel="energy (J)", ylim=(len(kept) - 0.5, -0.5))
    axis.grid(axis="x", alpha=0.3, color=GREY)
    return figure
