"""Bugs from a list, planted one by one in a copy of the repository, and whether the tests of the driver see each.

As a program it does every n-th bug of a list: ``LIST FIRST EVERY [PYTEST ARGUMENTS]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants.trial_process import import_heavy, in_child, private_copy, run_pytest

_ROOT = Path(__file__).parents[2]
_HEAVY = ("numpy", "scipy.stats", "scipy.sparse.linalg", "numba", "pydantic", "h5py", "pyvisa", "serial", "pytest")
_CPU_S, _WALL_S = 120.0, 300.0
_WORKERS = 2
_SURVIVED, _SEEN = "SURVIVED", "seen"


@dataclass(frozen=True)
class Planted:
    """A bug: `new` in place of `old`, which occurs once in `path`."""

    what: str
    path: str
    old: str
    new: str


def planted(name: str) -> list[Planted]:
    """The bugs of a list beside this file.

    Raises:
        ValueError: the text of a bug does not occur exactly once.
    """
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    bugs = [Planted(**entry) for entry in tomllib.loads(text)["planted"]]
    for bug in bugs:
        count = (_ROOT / bug.path).read_text(encoding="utf-8").count(bug.old)
        if count != 1:
            raise ValueError(f"{bug.what}: {bug.old!r} occurs {count} times in {bug.path}")
    return bugs


def survivors(name: str, tests: list[str]) -> tuple[int, list[str]]:
    """How many bugs a list holds, and what those are that no test sees.

    Raises:
        ValueError: the text of a bug does not occur exactly once, or the tests fail without any.
    """
    bugs = planted(name)
    command = [sys.executable, "-B", "-m", "benchmarks.electrodes.planted_bugs", name]
    workers = [
        subprocess.Popen([*command, str(at), str(len(bugs)), *tests], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        for at in range(min(_WORKERS, len(bugs)))
    ]
    with ThreadPoolExecutor(len(workers)) as pool:
        said = [line for lines in pool.map(_listen, workers) for line in lines]
    verdicts = [line.partition(": ")[::2] for line in said if line.startswith((_SURVIVED, _SEEN))]
    if any(worker.wait() for worker in workers) or len(verdicts) != len(bugs):
        raise ValueError(f"the bugs of {name} could not be tried: {' '.join(said)[-2000:]}")
    return len(bugs), [what for verdict, what in verdicts if verdict == _SURVIVED]


def _listen(worker: subprocess.Popen[str]) -> list[str]:
    """What a worker says, shown as it comes."""
    lines = []
    for line in worker.stdout or ():
        lines.append(line.rstrip())
        print(f"      {lines[-1]}", flush=True)
    return lines


def main() -> int:
    """Every `_WORKERS`-th bug; 1 where the tests fail without any."""
    name, at, count, *tests = sys.argv[1:]
    import_heavy(_HEAVY)
    with tempfile.TemporaryDirectory() as folder:
        copy = private_copy(_ROOT, Path(folder))
        log = Path(folder) / "log"

        def passes() -> bool:
            status = in_child(copy, Path(folder) / "caches", lambda: run_pytest(["-x", *tests]), log, _CPU_S, _WALL_S)
            return status == 0

        if not passes():
            print("the tests fail without any bug", log.read_text(errors="replace")[-1500:])
            return 1
        for bug in planted(name)[: int(count)][int(at) :: _WORKERS]:
            file = copy / bug.path
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
            survived = passes()
            file.write_text(text, encoding="utf-8")
            print(f"{_SURVIVED if survived else _SEEN}: {bug.what}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
