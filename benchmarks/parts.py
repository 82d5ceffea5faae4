"""The parts of a benchmark: chosen on the command line, each with what it runs on printed at the head."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import Bars

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Speech data and measurements, which are looked for here unless IMSSA_DATA says where."""


@dataclass(frozen=True)
class Part:
    """One part of a benchmark.

    Attributes:
        run: measures it; given the bars and what the command line said.
        profile: of the twin, or what stands in its place; cells: how they come to their conductances.
        array: through a driver, or in process; seeds: of what is random.
    """

    run: Callable[[Bars, argparse.Namespace], None]
    profile: str
    cells: str
    array: str
    seeds: str


def measure(
    doc: str | None,
    parts: Mapping[str, Part],
    *,
    quick: bool = False,
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> int:
    """Run the parts that the command line asks for; the exit code.

    Args:
        doc: the help's first words; quick: whether there is `--quick` as well.
        options: adds the benchmark's own.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", action="extend", choices=list(parts), help="these parts alone")
    parser.add_argument("--smoke", action="store_true", help="smallest sizes, no figure judged: does it still run?")
    if quick:
        parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a measurement")
    options(parser)
    given = parser.parse_args()
    bars = Bars("smoke" if given.smoke else "quick" if quick and given.quick else "full")
    chosen = [name for name in parts if given.only is None or name in given.only]
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}; {bars.scale} sizes")
    for name in chosen:
        part = parts[name]
        print(f"   {name}: profile {part.profile}; cells {part.cells}; array {part.array}; seeds {part.seeds}")
    if _DATA.is_dir():
        os.environ.setdefault("IMSSA_DATA", str(_DATA))
    for name in chosen:
        print(f"-- {name}", flush=True)
        start = time.perf_counter()
        parts[name].run(bars, given)
        print(f"   {name} took {time.perf_counter() - start:.0f} s")
    return bars.exit_code()
