"""Run files of imssa_lab as tables: what a chip was asked for, and what it read, cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.log import Run, open_run
from imssa_lab.log.write.programming_events import AIM, read_aim
from twin.fitting.fit_outcome import Remark
from twin.fitting.tables.measured_tables import Table

_AGED = 2.0
"""How much older a cell must be for another look at its relaxation."""

_OWN = "the chip's own recipe"


def is_run(path: Path) -> bool:
    """True for a file that is HDF5 and has the tables of a run."""
    import h5py

    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return "read_conductances" in file


def programming_table(path: str | Path) -> Table:
    """Target and achieved conductance of every cell that a run programmed; the rows number cells.

    Programmings by one programmer only: the chip's own recipe where it was used, else the one used last. Others, such
    as the pass that merely brings cells to levels from which they relax, leave other errors; a remark counts them.

    Raises:
        DataError: the run programmed nothing. LogError: not a run.
    """
    by: dict[str, list[FloatArray]] = {}
    with open_run(path) as run:
        size = run.infos[0].rows * run.infos[0].cols
        aims = [(seq, read_aim(text).programmer) for seq, kind, text in run.numbered_events() if kind == AIM]
        for row in range(run.records("program")):
            first = int(run.column("program", "first_seq", row))
            named = next((text for seq, text in aims if seq >= first), None)
            loop = _OWN if run.column("program", "default", row) else named or "one that the record does not name"
            mask = run.column("program", "mask", row).astype(bool)
            if run.column("program", "first_seq", row) >= run.column("program", "last_seq", row):
                continue
            cell = int(run.column("program", "array", row)) * size + np.flatnonzero(mask)
            target, achieved = (run.column("program", name, row)[mask] for name in ("target", "achieved"))
            parts = by.pop(loop, [])
            by[loop] = [*parts, np.stack([cell, target, achieved])]
    if not by:
        raise DataError(f"{path}: the run programmed no cell")
    taken = _OWN if _OWN in by else list(by)[-1]
    table = _table(Path(path), ("cell", "target", "conductance"), np.concatenate(by[taken], axis=1))
    for loop, parts in by.items():
        if loop != taken:
            what = f"{len(parts)} programmings by another programmer ({loop.partition(' ')[0]}): left out"
            table.remarks.append(Remark(what))
    return table


def relaxation_table(path: str | Path) -> Table:
    """Reads of cells after they were programmed: time since then, conductance then (by re-read) and now.

    A pulse after programming ends the story of its cells. Reads in quick succession are one look: a cell counts again
    once its age has doubled, as reads for noise would outweigh all others. Calls made inside a programming
    are part of it.

    Raises:
        DataError: no cell was read again after programming. LogError: not a run.
    """
    parts: list[FloatArray] = []
    with open_run(path) as run:
        for number, info in enumerate(run.infos):
            initial, since = np.full(info.shape, np.nan), np.full(info.shape, np.nan)
            looked = np.zeros(info.shape)
            calls = _calls(run, number, ("program", "pulses", "read_conductances"))
            inside: set[int] = set()
            for seq, table, row in calls:
                if table == "program":
                    inside.update(range(int(run.column("program", "first_seq", row)), seq))
            for seq, table, row in calls:
                if seq in inside:
                    continue
                when = float(run.column(table, "device_time", row))
                if table == "program":
                    mask = run.column(table, "mask", row).astype(bool)
                    initial[mask], since[mask] = run.column(table, "achieved", row)[mask], when
                    looked[mask] = 0.0
                elif table == "pulses":
                    initial[run.pulses(row).mask] = np.nan
                else:
                    mask = run.column(table, "mask", row).astype(bool) & np.isfinite(initial) & (when > since)
                    mask &= when - since >= _AGED * looked
                    if not mask.any():
                        continue
                    looked[mask] = (when - since)[mask]
                    read = run.readout(table, row, info.adc is not None).current(info.adc).mean(axis=0)
                    cell = number * mask.size + np.flatnonzero(mask)
                    later, measured = when - since[mask], read[mask] / info.read_voltage
                    parts.append(np.stack([cell, later, initial[mask], measured]))
    if not parts:
        raise DataError(f"{path}: no cell was read again after programming; wait and read, then fit")
    return _table(Path(path), ("cell", "time", "initial", "conductance"), np.concatenate(parts, axis=1))


def products(path: Path, number: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Conductances by the last whole read before the products, voltages (n, rows) and raw currents (n, cols).

    Raises:
        DataError: no whole read, or no product after it. LogError: not a run.
    """
    conductance: FloatArray | None = None
    voltages: list[FloatArray] = []
    currents: list[FloatArray] = []
    with open_run(path) as run:
        info = run.infos[number]
        for _, table, row in _calls(run, number, ("pulses", "read_conductances", "read_mvm")):
            if table == "read_mvm" and conductance is not None:
                first, count = (int(run.column(table, name, row)) for name in ("first", "count"))
                voltages.append(run.column(table, "voltage", slice(first, first + count)))
                currents.append(run.readout(table, row, info.adc is not None).current(info.adc))
            elif table == "pulses":
                conductance, voltages, currents = None, [], []
            elif table == "read_conductances" and run.column(table, "mask", row).all():
                read = run.readout(table, row, info.adc is not None).current(info.adc).mean(axis=0)
                conductance, voltages, currents = read / info.read_voltage, [], []
    if conductance is None or not voltages:
        raise DataError(f"{path}: array {number} was not read as a whole before products; do both, then fit")
    return conductance, np.concatenate(voltages), np.concatenate(currents)


def _calls(run: Run, number: int, tables: tuple[str, ...]) -> list[tuple[int, str, int]]:
    """(seq, table, row) of the calls to one array, in order."""
    found = [
        (int(seq), table, row)
        for table in tables
        for row, (seq, array) in enumerate(zip(run.column(table, "seq"), run.column(table, "array"), strict=True))
        if array == number
    ]
    return sorted(found)


def _table(path: Path, names: tuple[str, ...], values: FloatArray) -> Table:
    columns = dict(zip(names, values, strict=True))
    return Table(columns, np.arange(1, values.shape[1] + 1, dtype=np.int64), path.name)
