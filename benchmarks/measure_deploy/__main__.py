"""Measure everything: programmers, then deployment."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.measure_deploy import deploy


def main() -> int:
    """The exit code: 0 when every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="models a task")
    parser.add_argument("--chips", type=int, default=3, help="chips a model")
    parser.add_argument("--bundles", type=Path, default=deploy.BUNDLES, help="where trained bundles are kept")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    bars = Bars()
    if find_spec("benchmarks.measure_deploy.programmers") is not None:
        from benchmarks.measure_deploy import programmers

        programmers.measure(bars)
    deploy.measure(bars, given.seeds, given.chips, given.bundles)
    return bars.exit_code()


if __name__ == "__main__":
    sys.exit(main())
