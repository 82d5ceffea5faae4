"""Single bits flipped anywhere in a finished log, a third of them in its first 4 KiB: what every verb does."""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.damage import make
from benchmarks.record.instrument import step
from imssa_lab.contract.errors import ImssaError
from imssa_lab.log import open_run
from imssa_lab.log.care.catalogue import catalogue
from imssa_lab.log.care.compare import differences, statistics
from imssa_lab.log.care.repair import Repair, repair
from imssa_lab.log.care.verify import verify
from imssa_lab.log.read.exported_files import export
from imssa_lab.log.read.follower import in_words
from imssa_lab.log.schema import TABLES

_HEAD = 4096  # bytes
_PROCESSOR = 120  # s, for all verbs of one file: a loop that does not end takes more
_LONGEST = 1800.0  # s, on a busy machine, for all verbs of one file
_EVERY = 20  # a page is made of every so many-th file: it takes seconds


def bit_flips(bars: Bars, folder: Path) -> None:
    """Flip, ask every verb, in a process of its own: HDF5 can end it or loop for ever."""
    whole = folder / "whole.h5"
    seen = make(whole)
    data, size = whole.read_bytes(), whole.stat().st_size
    truth = {verb: question(whole, folder, len(seen)) for verb, question in _QUESTIONS.items()}
    random = np.random.default_rng(11)
    count = bars.size(1000, quick=100, smoke=3)
    places = [*random.integers(0, min(_HEAD, size), count), *random.integers(0, size, 2 * count)]
    found: Counter[str] = Counter()
    spoilt = folder / "flips" / "spoilt.h5"
    spoilt.parent.mkdir()
    spoilt.write_bytes(data)
    control = _asked(spoilt, whole, truth, folder, True)
    bars.check("words of the verbs on the whole file (null control)", float(control != ["unnoticed"]), "==", 0)
    for number, place in enumerate(map(int, places)):
        bit = int(random.integers(8))
        spoilt.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        said = _asked(spoilt, whole, truth, folder, number % _EVERY == 0)
        found.update(said)
        for what in said:
            if what not in ("noticed", "unnoticed"):
                print(f"     byte {place}, bit {bit}: {what}", flush=True)
    total = f"{len(places)} flips of one bit"
    note = f"{found['noticed']} noticed, {found['unnoticed']} without effect"
    bars.check(f"wrong values in {total}", _sum(found, "wrong"), "==", 0, note)
    bars.check("bare exceptions in any verb", _sum(found, "bare"), "==", 0)
    bars.check("hangs and ends of the process", _sum(found, "hang") + _sum(found, "died"), "==", 0)
    bars.check("damage that repair called whole", _sum(found, "called whole"), "==", 0)


def _sum(found: Counter[str], beginning: str) -> int:
    return sum(count for what, count in found.items() if what.startswith(beginning))


Truth = dict[str, object]


def _asked(path: Path, whole: Path, truth: Truth, folder: Path, page: bool) -> list[str]:
    """What the verbs made of the file, in words that begin as the bars count them."""
    source, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR, _PROCESSOR + 5))
        try:
            text = json.dumps(_verbs(path, whole, truth, folder, page))
            os.write(told, text.encode()[:60_000])
        finally:
            os._exit(0)
    os.close(told)
    until = time.monotonic() + _LONGEST
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.002)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(source, "rb") as pipe:
        answer = pipe.read()
    if ended == (0, 0):
        return ["hang"]
    return list(json.loads(answer)) if answer else [f"died, status {ended[1]}"]


def _shown(file: Path, folder: Path, steps: int) -> object:
    with open_run(file) as run:
        return run.summary() | {"file": ""}, run.events()


def _counted(file: Path, folder: Path, steps: int) -> object:
    with open_run(file) as run:
        return json.dumps(statistics(run))


def _worded(file: Path, folder: Path, steps: int) -> object:
    with open_run(file) as run:
        return [repr(list(in_words(run, table, slice(0, run.records(table))))) for table in _RECORDS]


def _exported(file: Path, folder: Path, steps: int) -> object:
    with tempfile.TemporaryDirectory(dir=folder) as out, open_run(file) as run:
        return [written.read_bytes() for written in export(run, Path(out), "csv", list(TABLES))]


def _replayed(file: Path, folder: Path, steps: int) -> object:
    with open_run(file) as run:
        (array,) = run.arrays()
        return [step(array, number) for number in range(steps)]


_RECORDS = [table for table in TABLES if "seq" in TABLES[table]]
_QUESTIONS: dict[str, Callable[[Path, Path, int], object]] = {
    "show": _shown,
    "stats": _counted,
    "tail": _worded,
    "export": _exported,
    "replay": _replayed,
}


def _differ(path: Path, whole: Path) -> None:
    with open_run(path) as one, open_run(whole) as two:
        list(differences(one, two))


def _page(path: Path) -> None:
    from imssa_lab.report.run_report import report_page

    with open_run(path) as run:
        report_page(run)


def _verbs(path: Path, whole: Path, truth: Truth, folder: Path, page: bool) -> list[str]:
    said: list[str] = []
    noticed = False

    def ask(verb: str, question: Callable[[], object]) -> object:
        nonlocal noticed
        try:
            return question()
        except ImssaError:
            noticed = True
        except Exception as error:  # noqa: BLE001 - what the bar counts
            said.append(f"bare {type(error).__name__} in {verb}: {str(error)[:100]}")
        return None

    for verb, question in _QUESTIONS.items():
        got = ask(verb, partial(question, path, folder, len(truth["replay"])))  # type: ignore[arg-type]
        if got is not None and got != truth[verb]:
            said.append(f"wrong values in {verb}")
    checked = ask("verify", lambda: verify(path))
    noticed = noticed or not getattr(checked, "good", False)
    ask("list", lambda: list(catalogue(path.parent)))
    ask("diff", lambda: _differ(path, whole))
    if page:
        ask("report", lambda: _page(path))
    damaged = noticed or bool(said)
    mended = ask("repair", lambda: repair(path))
    if damaged and isinstance(mended, Repair) and mended.good:
        again = ask("replay", lambda: _replayed(path, folder, len(truth["replay"])))  # type: ignore[arg-type]
        if not mended.needed or again != truth["replay"]:
            said.append("called whole")
    return [*said, "noticed" if damaged else "unnoticed"]
