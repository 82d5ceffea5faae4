"""Figures of logs: rows, tables, exports and digests of a small session, and findings in damaged copies."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np

from imssa_lab.contract.errors import ImssaError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import open_run, record
from imssa_lab.log.care.compare import differences, statistics
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.checksum import change, digest, fletcher32, intact, lookup3, sums
from imssa_lab.log.read.exported_files import export, export_maps
from imssa_lab.log.read.follower import in_words
from imssa_lab.log.read.row_blocks import cells_of, rows_of, unit_of
from imssa_lab.log.run import Run
from imssa_lab.log.schema import TABLES
from imssa_lab.log.write.record_sizes import RecordSizes
from protocols.characterisation.column_calibration import calibrate_columns
from twin import DigitalTwin

SHAPE = (6, 4)
OF_THE_CLOCK = ("wall_time", "time", "uuid", "wall time, s")
"""Differ in any two runs."""


def work(path: Path, seed: int = 1) -> None:
    """Two boards, of which one is calibrated; reads, pulses, pauses, a programming, and a call that is refused."""
    rng = np.random.default_rng(3)
    mask = rng.random(SHAPE) < 0.5
    boards = [DigitalTwin("supert-a0", SHAPE, seed), DigitalTwin("ideal", SHAPE, 2)]
    with record(path, boards, {"note": "figures"}) as (one, two):
        one.program_conductances(rng.uniform(10e-6, 90e-6, SHAPE), mask)
        calibrate_columns(one, vectors=8, averages=1)
        one.read_mvm(rng.uniform(0, 0.2, (3, 6)))
        two.read_mvm(rng.uniform(-0.2, 0.2, (2, 6)))
        two.read_conductances(mask, averages=3)
        one.apply_pulses(Pulses.on(mask, "RESET", 1.25, 5.0, 1e-6))
        two.apply_pulses(Pulses.on(~mask, "SET", 1.5, 1.2, 2e-6))
        one.wait(2.5)
        one.read_conductances()


@cache
def sessions() -> tuple[TemporaryDirectory[str], Path]:
    place = TemporaryDirectory()
    folder = Path(place.name)
    work(folder / "run.h5")
    work(folder / "other.h5", seed=4)
    return place, folder


def run_of(name: str = "run.h5") -> Run:
    return open_run(sessions()[1] / name)


def columns(table: str) -> object:
    with run_of() as run:
        names = [name for name in TABLES[table] if name not in (*OF_THE_CLOCK, "date")]
        return {"records": run.records(table), **{name: run.column(table, name) for name in names}}


def blocks(table: str) -> object:
    """Rows and cells as they are exported, one block after another."""
    found: dict[str, object] = {}
    with run_of() as run:
        for way, make in (("rows", rows_of), ("cells", cells_of)):
            if way == "cells" and table not in ("read_conductances", "pulses", "program"):
                continue
            for number, block in enumerate(make(run, table)):
                kept = {key: np.asarray(value) for key, value in block.items() if key not in OF_THE_CLOCK}
                found[f"{way} {number}"] = {key: value for key, value in kept.items() if value.dtype.kind in "biufSU"}
        found["units"] = {name: unit_of(run, table, name) for name in TABLES[table]}
        found["words"] = np.array([one.text for one in in_words(run, table, slice(0, run.records(table)))])
    return found


def facts() -> object:
    with run_of() as run, run_of("other.h5") as other:
        said = {name: value for name, value in statistics(run).items() if name not in OF_THE_CLOCK}
        apart = [(a, b) for a, b, *_ in differences(run, other) if b not in OF_THE_CLOCK and "time" not in b]
        sizes = RecordSizes(run.infos[0])
        return {
            "statistics": said,
            "differences": apart,
            "infos": [info.shape for info in run.infos],
            "time": run.device_time(),
            "calibration": run.calibration(0),
            "sizes": {name: value for name, value in vars(sizes).items() if isinstance(value, int | float)},
        }


def exported() -> object:
    found: dict[str, object] = {}
    with TemporaryDirectory() as place, run_of() as run:
        tables = ["read_mvm", "read_conductances", "pulses", "program", "waits"]
        export(run, Path(place) / "tables", "csv", tables)
        made = export_maps(run, Path(place) / "maps")
        for path in sorted((Path(place) / "tables").iterdir()):
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(line for line in file if not line.startswith("#")))
            chosen = [at for at, head in enumerate(rows[0]) if "wall" not in head]
            found[path.name] = [[head for head in rows[0]], len(rows), [rows[-1][at] for at in chosen]]
        found["maps"] = sorted(path.name for path in made)
        found["map"] = np.genfromtxt(sorted(made)[0], delimiter=",", comments="#")
    return found


def damaged(kind: str) -> object:
    """What is found in a copy in which one thing is wrong."""
    with TemporaryDirectory() as place:
        path = Path(place) / "run.h5"
        shutil.copy(sessions()[1] / "run.h5", path)
        DAMAGES[kind](path)
        try:
            found = verify(path)
        except ImssaError as error:
            return str(error).replace(place, "")[:100]
        findings = [(one.place, _without_clock(one.text, place), one.serious) for one in found.findings]
        return [found.good, found.records, findings]


def _without_clock(text: str, place: str) -> str:
    """Seconds of this computer's clock and places in the file are others every time."""
    return re.sub(r"back by \S+ s|byte \d+ \(\d+ bytes\)|Can't .*", "...", text.replace(place, ""))


def _flip(path: Path) -> None:
    with h5py.File(path) as file:
        dataset = file["read_mvm/value"]
        offset = dataset.id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset + 2] ^= 1
    path.write_bytes(data)


def _with(change: Callable[[h5py.File], None], path: Path) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def _renumber(file: h5py.File) -> None:
    file["waits/seq"][0] = 900


def _turn_back(file: h5py.File) -> None:
    file["read_conductances/device_time"][-1] = -5.0


def _take_away(file: h5py.File) -> None:
    del file["pulses/width"]


def _other_unit(file: h5py.File) -> None:
    file["pulses/voltage"].attrs["units"] = "mV"


def _longer(file: h5py.File) -> None:
    file["waits/seconds"].resize(9, axis=0)


def _another(file: h5py.File) -> None:
    file["waits/array"][0] = 7


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "nothing": lambda path: None,
    "a bit": _flip,
    **{
        change.__name__.strip("_").replace("_", " "): partial(_with, change)
        for change in (_renumber, _turn_back, _take_away, _other_unit, _longer, _another)
    },
}


def checksums() -> object:
    data = bytes(range(250)) * 3
    other = bytes(reversed(data))
    return {
        "fletcher": [fletcher32(data[:size]) for size in (0, 1, 2, 7, 360, 720, 750)],
        "sums": [sums(data[:size]) for size in (0, 1, 2, 7, 720)],
        "digest": [digest(*sums(data)), digest(0, 0), digest(70_000, 140_000)],
        "change": [change(data[:8], other[:8]), change(data, other)],
        "lookup": [lookup3(data[:size]) for size in range(27)],
        "intact": [intact(data), intact(data + fletcher32(data).to_bytes(4, "little"))],
    }


CASES: Mapping[str, Callable[[], object]] = {
    **{f"columns of {table}": partial(columns, table) for table in TABLES if table not in ("wire", "events")},
    **{
        f"blocks of {table}": partial(blocks, table)
        for table in ("read_mvm", "read_conductances", "pulses", "program")
    },
    "facts": facts,
    "exported": exported,
    **{f"damage: {kind}": partial(damaged, kind) for kind in DAMAGES},
    "checksums": checksums,
}
