"""`make measure-twin`: every bar of the digital twin that a machine can measure.

Name parts to measure them alone: `make measure-twin ARGS="wires noise"`.
"""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.bars import Bars

PARTS = {"wires": "wire_physics", "noise": "noise_statistics", "board": "board", "fitting": "fitting"}


def main(parts: list[str]) -> int:
    """Measure the named parts, or all; the exit code."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    bars = Bars()
    for part in parts or PARTS:
        import_module(f"benchmarks.twin.{PARTS[part]}").measure(bars)
    return bars.exit_code()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
