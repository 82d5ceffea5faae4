"""make measure-twin: the twin's wires, noise, board statistics and fits (some minutes; fits need measured data)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure


def _later(name: str) -> Callable[..., None]:
    """A part that is imported when it is its turn: each needs other libraries."""

    def run(bars: Bars, given: object) -> None:
        import_module(f"benchmarks.twin.{name}").measure(bars)

    return run


PARTS = {
    "wires": Part(_later("wire_physics"), "none: circuits", "written", "solvers in process", "0, 1, 2"),
    "topologies": Part(_later("wire_topologies"), "none: circuits", "written", "solvers in process", "0 to 39"),
    "noise": Part(_later("noise_statistics"), "all presets", "written, pulses", "twin in process", "0 to 15"),
    "board": Part(_later("board"), "supert-a0", "pulses", "twin in process", "0 to 4"),
    "fitting": Part(_later("fitting"), "ideal with fitted relaxation", "written", "twin in process", "0, 1, 1000 on"),
    "fitted-noise": Part(_later("fitted_noise"), "none: synthetic cells", "traces", "none", "10000 on"),
    "fitted-programming": Part(_later("fitted_programming"), "none: measured cells", "programmed", "none", "0"),
    "round-trip": Part(
        _later("round_trip"), "fitted to the chip's first session", "metal-oxide steps", "recorded chips", "0 to 19"
    ),
    "planted-changes": Part(
        _later("planted_changes"), "supert-a0-easy, changed", "pulses", "recorded twins", "0 to 19"
    ),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS))
