"""Measures every bar of programming and deployment; exits with 1 where one falls short.

``python -m benchmarks.measure_deploy [--only PART ...]``; an hour of processor time, and as much again for training
where `--bundles` holds none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.deploy import deployed_tasks, programmers
from benchmarks.deploy.kills import kills
from benchmarks.deploy.level_controls import levels
from benchmarks.deploy.trained_bundles import BUNDLES
from benchmarks.parts import asked_for, parser_of


def main() -> int:
    """The exit code: 0 when every bar that was measured holds."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = parser_of(PARTS, __doc__)
    parser.add_argument("--seeds", type=int, default=3, help="models a task")
    parser.add_argument("--chips", type=int, default=3, help="chips a model")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--bundles", type=Path, default=BUNDLES, help="where trained bundles are kept")
    given = parser.parse_args()
    bars = Bars()
    for part in asked_for(PARTS, given):
        part(bars, given)
    return bars.exit_code()


def _bench(given: argparse.Namespace) -> deployed_tasks.Bench:
    return deployed_tasks.Bench(given.seeds, given.chips, given.bundles)


PARTS: dict[str, Callable[[Bars, argparse.Namespace], None]] = {
    "programmers": lambda bars, given: programmers.measure(bars),
    "levels": lambda bars, given: levels(bars, given.bundles),
    "kills": lambda bars, given: kills(bars, given.kills),
    "stuck": lambda bars, given: deployed_tasks.stuck(bars, _bench(given)),
    "order": lambda bars, given: deployed_tasks.losses(bars, _bench(given), "fsdd-order"),
    "t10": lambda bars, given: deployed_tasks.losses(bars, _bench(given), "fsdd-t10"),
    "first10": lambda bars, given: deployed_tasks.losses(bars, _bench(given), "fsdd-first10"),
    "kernels": lambda bars, given: deployed_tasks.kernel_errors(bars, _bench(given)),
}

if __name__ == "__main__":
    sys.exit(main())
