"""Scores of nets in words and for machines: accuracies, or of nets that give values their NRMSE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.s4d.scores import Goal


def measure(goal: Goal) -> str:
    """What a score is called where it is shown: accuracy, or NRMSE."""
    return "accuracy" if goal == "classes" else "NRMSE"


def numbers(goal: Goal, found: Sequence[float]) -> tuple[float, float, float]:
    """The measure and the ends of its 95 % interval, lower one first, of a score (value, low, high)."""
    from imssa_lab.s4d.scores import nrmse_of

    value, low, high = found
    return (value, low, high) if goal == "classes" else (nrmse_of(value), nrmse_of(high), nrmse_of(low))


def with_interval(goal: Goal, found: Sequence[float]) -> str:
    """The measure of a score (value, low, high) and its interval: accuracies in percent, an NRMSE as it is."""
    value, low, high = numbers(goal, found)
    if goal == "classes":
        return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def needs_no_memory(bundle: KernelBundle, null: Sequence[float] | None) -> list[tuple[str, str]]:
    """The verdict as a row of a table where the bundle is not surely better than its null control; else nothing.

    Args:
        null: score (value, low, high) of the control; None where there is none.
    """
    if null is None or bundle.expected_accuracy[1] > null[0]:
        return []
    return [("verdict", "[bold red]this task needs no memory: it decides nothing[/bold red]")]
