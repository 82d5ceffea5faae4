"""Which aspect of a session must show each planted change: an alarm of something else has not found it."""

from __future__ import annotations

from collections.abc import Iterable

from twin.fitting.comparison import Comparison, Statistic

SHOWN_BY = {
    "SET noise x1.5": {"programming", "pulse response"},
    "stuck 0 -> 1 %": {"stuck cells"},
    "relaxation x1.5": {"change with time"},
    "column gain +5 %": {"products"},
    "read noise x1.5": {"read noise"},
}


def finds(comparison: Comparison, change: str, usual: Iterable[Statistic] = ()) -> bool:
    """Whether a statistic of the planted aspect differs, other than those that differ without the change, too."""
    known = {one.name for one in usual}
    return any(one.aspect in SHOWN_BY[change] and one.name not in known for one in comparison.apart)
