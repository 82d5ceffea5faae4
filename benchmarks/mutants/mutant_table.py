"""The table of a mutation run, and the survivors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.bars import Bars
from benchmarks.mutants.mutant_trials import TIMED
from benchmarks.mutants.mutations import Mutant
from benchmarks.mutants.results import Result

PART_BAR, WHOLE_BAR = 0.90, 0.95
TALLY = "tally.json"
"""File in the folder of a run that `make measure-rooms` reads: what `tally` gives."""


def tally(
    samples: Mapping[str, list[Mutant]], found: Mapping[str, Mapping[Mutant, Result]], equivalent: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Of each part: how many mutants were sampled, were killed, and live but are reviewed as equivalent."""
    counts = {}
    for part, mutants in samples.items():
        killed = {mutant for mutant in mutants if found[part][mutant].is_kill}
        alike = sum(mutant not in killed and mutant.key in equivalent for mutant in mutants)
        counts[part] = {"mutants": len(mutants), "killed": len(killed), "equivalent": alike}
    return counts


def print_table(
    samples: Mapping[str, list[Mutant]],
    found: Mapping[str, Mapping[Mutant, Result]],
    equivalent: Mapping[str, str],
    unsteady: Sequence[str],
) -> int:
    """Survivors, then a line for each part and the bars; returns the exit status.

    `unsteady`: tests that killed a mutant and fail without one; there must be none.

    A killed mutant counts as killed even if it is listed as equivalent: the list is then wrong, which is printed.
    """
    bars = Bars()
    lines: list[str] = []
    for part, mutants in samples.items():
        results = {mutant: found[part][mutant] for mutant in mutants}
        killed = [mutant for mutant, result in results.items() if result.is_kill]
        slow = [mutant for mutant, result in results.items() if result.outcome == TIMED]
        alike = [mutant for mutant, result in results.items() if not result.is_kill and mutant.key in equivalent]
        alive = [mutant for mutant in mutants if mutant not in killed and mutant not in alike]
        for mutant in alive:
            _print_survivor(part, mutant, results[mutant])
        for mutant in killed:
            if mutant.key in equivalent:
                print(f"listed as equivalent, but {results[mutant].killer} fails: {mutant.key}")
        counted = len(mutants) - len(alike)
        cut = sum(1 for result in results.values() if result.left_out and not result.is_kill)
        rate = len(killed) / counted if counted else 1.0
        figures = (len(mutants), len(killed) - len(slow), len(slow), len(alive), len(alike), cut)
        lines.append(f"{part:<14}" + "".join(f"{figure:>12}" for figure in figures) + f"{rate:>12.1%}")
    head = ("sampled", "killed", "timed out", "survived", "equivalent", "cut", "rate")
    print("\n" + f"{'part':<14}" + "".join(f"{word:>12}" for word in head))
    print("\n".join(lines))
    print("killed and timed out count as killed; cut: survivors that some slow tests, left out, might still kill\n")
    check_tally(bars, tally(samples, found, equivalent))
    bars.check("null control: tests that fail without a mutant", len(unsteady), "==", 0, ", ".join(unsteady))
    return bars.exit_code()


def check_tally(bars: Bars, counts: Mapping[str, Mapping[str, int]]) -> None:
    """The bars: the share of non-equivalent mutants that tests killed, part by part and over all."""
    counted = {part: count["mutants"] - count["equivalent"] for part, count in counts.items()}
    for part, count in counts.items():
        if counted[part]:
            rate = count["killed"] / counted[part]
            bars.check(f"mutants of {part} killed", rate, ">=", PART_BAR, f"{counted[part]} counted")
    total = sum(counted.values())
    if total:
        rate = sum(count["killed"] for count in counts.values()) / total
        bars.check("mutants killed over all", rate, ">=", WHOLE_BAR, f"{total} counted")


def _print_survivor(part: str, mutant: Mutant, result: Result) -> None:
    left_out = f", {result.left_out} too slow" if result.left_out else ""
    where = f"{mutant.path}:{mutant.line} in {mutant.function or 'module'}"
    print(f"\n{part}: {where}: {result.outcome} ({result.tests} tests{left_out})")
    print(f"  - {mutant.before}\n  + {mutant.after}\n  key: {mutant.key}")
