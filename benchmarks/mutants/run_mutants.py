"""`make mutants`: does a test fail for each small bug? Exit status 1 below 90 % in a part or 95 % over all."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from benchmarks.mutants.line_map import make_map, out_of_date, read_map
from benchmarks.mutants.mutant_table import TALLY, print_table, tally
from benchmarks.mutants.mutant_trials import KILLED, Outcome, Round, failing, rounds, try_mutant
from benchmarks.mutants.mutations import Mutant, sample
from benchmarks.mutants.results import EQUIVALENT, Result, Results, reviewed_equivalents
from benchmarks.mutants.tested_parts import DEFAULT, TestedPart, all_tests, digest, imported_first, read_parts
from benchmarks.mutants.trial_process import import_heavy, private_copy

SEED = 20261129


@dataclass
class _Bench:
    """Where a worker process works: its folder, with the private copy in it."""

    folder: Path
    tree: Path


_bench: _Bench | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run the sample and print the table."""
    given = _parser().parse_args(arguments)
    tree, folder = given.tree.resolve(), given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    parts = [part for part in read_parts(given.parts, tree) if given.part is None or part.name in given.part]
    if not parts:
        raise SystemExit(f"no such part: {', '.join(given.part)}; the parts are in {given.parts}")
    names = ", ".join(part.name for part in parts)
    print(f"seed {given.seed}, {given.count} mutants a part, parts: {names}", flush=True)
    samples = {part.name: sample(tree, part.sources, given.count, given.seed) for part in parts}
    if given.list:
        for mutant in (mutant for mutants in samples.values() for mutant in mutants):
            print(mutant.key)
        return 0
    run = _Run(tree, folder, given)
    pool = run.workers()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.bring_map_up_to_date(pool, parts)
        found = {part.name: dict(run.tried(pool, part, samples[part.name])) for part in parts}
        unsteady = run.null_control(pool, (one for results in found.values() for one in results.values()))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C or SIGTERM only the trials under way come to their end
    equivalent = reviewed_equivalents(given.equivalent)
    (folder / TALLY).write_text(json.dumps(tally(samples, found, equivalent), indent=1), encoding="utf-8")
    return print_table(samples, found, equivalent, unsteady)


class _Run:
    """One run: where it works and what it may keep of earlier ones."""

    def __init__(self, tree: Path, folder: Path, given: argparse.Namespace) -> None:
        self._tree, self._folder, self._given = tree, folder, given
        self._maps = folder / "map"
        self._results = Results(folder)

    def workers(self) -> ProcessPoolExecutor:
        """Forked processes, each with a private copy of the tree."""
        import_heavy(imported_first(self._given.parts))
        context = multiprocessing.get_context("fork")
        folders: SimpleQueue[Path] = context.SimpleQueue()
        for index in range(self._given.workers):
            folders.put(self._folder / f"worker_{index}")
        return ProcessPoolExecutor(self._given.workers, context, initializer=_begin, initargs=(self._tree, folders))

    def bring_map_up_to_date(self, pool: ProcessPoolExecutor, parts: list[TestedPart]) -> None:
        """Run the test files whose lines are not known, each once, under coverage."""
        wanted = dict.fromkeys(test for part in parts for test in part.tests)
        if self._given.whole:
            wanted |= dict.fromkeys(all_tests(self._tree))
        if self._given.keep_map:
            wanted = {test: None for test in wanted if not (self._maps / f"{test.replace('/', '.')}.json").is_file()}
        stale = out_of_date(self._tree, self._maps, wanted)
        jobs = {pool.submit(_map, self._maps, test): test for test in stale}
        for number, job in enumerate(as_completed(jobs), 1):
            apart = job.result()
            note = f"; {len(apart)} skipped or failed: {', '.join(apart[:3])}" if apart else ""
            print(f"lines of {jobs[job]} ({number} of {len(jobs)}){note}", flush=True)

    def tried(
        self, pool: ProcessPoolExecutor, part: TestedPart, mutants: list[Mutant]
    ) -> Iterator[tuple[Mutant, Result]]:
        """Every mutant of a part with its result, from an earlier run or from now."""
        maps = (read_map(self._maps, part.tests), read_map(self._maps, all_tests(self._tree)))
        jobs: dict[Future[Outcome], tuple[Mutant, str, str]] = {}
        for mutant in mutants:
            again, source = self._given.again, digest(self._tree / mutant.path)
            planned = rounds(mutant, self._tree, *maps, self._given.limit)
            met = self._met(planned)
            known = self._results.find(mutant, None if again else source)
            if known is not None and (known.killer in maps[1].seconds if known.is_kill else known.met == met):
                yield mutant, known
            else:
                jobs[pool.submit(_try, mutant, planned)] = mutant, source, met
        for number, job in enumerate(as_completed(jobs), 1):
            mutant, source, met = jobs[job]
            result = self._results.add(mutant, source, job.result(), met)
            print(f"{part.name} {number}/{len(jobs)} {result.outcome}: {mutant.path}:{mutant.line}", flush=True)
            yield mutant, result

    def _met(self, planned: list[Round]) -> str:
        """Digest of the tests that a mutant meets, by name and by content: a survivor of others is tried again."""
        names = [test for one in planned for test in one.tests]
        contents = {test.partition("::")[0]: digest(self._tree / test.partition("::")[0]) for test in names}
        return hashlib.sha256(json.dumps([sorted(names), sorted(contents.items())]).encode()).hexdigest()[:16]

    def null_control(self, pool: ProcessPoolExecutor, found: Iterable[Result]) -> list[str]:
        """The tests that killed a mutant by failing, and that fail without one, too."""
        killers = sorted({one.killer for one in found if one.outcome == KILLED and "::" in one.killer})
        return pool.submit(_fail_by_themselves, killers).result() if killers else []


def _begin(tree: Path, folders: SimpleQueue[Path]) -> None:
    global _bench
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # tests of signals expect what a process begins with
    folder = folders.get()
    folder.mkdir(parents=True, exist_ok=True)
    _bench = _Bench(folder, private_copy(tree, folder))


def _map(store: Path, test: str) -> list[str]:
    assert _bench is not None, "workers begin with _begin"
    return make_map(_bench.tree, store, _bench.folder, test)


def _try(mutant: Mutant, planned: list[Round]) -> Outcome:
    assert _bench is not None, "workers begin with _begin"
    return try_mutant(mutant, _bench.tree, _bench.folder, planned)


def _fail_by_themselves(tests: list[str]) -> list[str]:
    assert _bench is not None, "workers begin with _begin"
    return failing(tests, _bench.tree, _bench.folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    add = parser.add_argument
    add("--part", action="append", help="this part alone; may be repeated")
    add("--count", type=int, default=60, help="mutants of each part (60)")
    add("--seed", type=int, default=SEED, help=f"of the sample ({SEED})")
    add("--workers", type=int, default=2, help="processes side by side (2)")
    add("--limit", type=float, default=60.0, help="summed time of the tests that one mutant meets in a round, s (60)")
    add("--whole", action="store_true", help="make the map of all tests, for survivors of their part's tests")
    add("--keep-map", action="store_true", help="use the map of earlier runs though files have changed since")
    add("--again", action="store_true", help="keep the kills of earlier runs though their files have changed since")
    add("--list", action="store_true", help="only print the sample")
    add("--tree", type=Path, default=Path(), help="root of the code (here)")
    add("--folder", type=Path, default=Path("build/mutants"), help="map, results and private copies (build/mutants)")
    add("--parts", type=Path, default=DEFAULT, help="listing of the parts")
    add("--equivalent", type=Path, default=EQUIVALENT, help="listing of the reviewed equivalent mutants")
    return parser


if __name__ == "__main__":
    sys.exit(main())
