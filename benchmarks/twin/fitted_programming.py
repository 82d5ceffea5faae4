"""Programming error: cells drawn from the fitted profile against cells that were not fitted, on all measured data."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from benchmarks.bars import Bars
from benchmarks.twin.fitting import DATA
from imssa_lab.contract.hal import FloatArray
from twin.fitting.programming_error import fit_programming
from twin.fitting.tables.measured_tables import Reading, Table, read_table


def measure(bars: Bars) -> None:
    """Levels that follow, and the mean error, on every data set."""
    if bars.smoke:
        rng = np.random.default_rng(0)
        target = np.repeat(np.linspace(20e-6, 120e-6, 4), 100)
        outcome = fit_programming(_table(target, target + 2e-6 * rng.standard_normal(400) + 1e-6), rng)
        bars.check("programming, synthetic: levels with KS p > 0.01", outcome.levels_passed, ">=", 0.9)
        bars.left_out("measured data")
        return
    if not DATA.is_dir():
        print(f"measured data: skipped, there is no {DATA}")
        return
    for name, table in _sets():
        outcome = fit_programming(table, np.random.default_rng(0))
        note = f"{len(outcome.groups)} levels, model {outcome.chosen}, worst {outcome.facts['worst group']}"
        bars.check(f"programming, {name}: levels with KS p > 0.01", outcome.levels_passed, ">=", 0.9, note)
        measured, drawn = (float(part.split()[-2]) for part in outcome.facts["mean error"].split(", of"))
        bars.check(f"programming, {name}: bias off that of the data, uS", abs(measured - drawn), "<=", 0.3)
    print(
        "     the map of the superT A0 has no bar: each of its levels is one bit line, so a level's cells share the "
        "errors of one amplifier, and its values are decoded from colours"
    )
    for name, table in _map():
        found = fit_programming(table, np.random.default_rng(0)).levels_passed
        print(f"     programming, {name}: levels with KS p > 0.01: {found:.3f}")


def _sets() -> Iterator[tuple[str, Table]]:
    pre = np.loadtxt(DATA / "ni_rram" / "prebake.tsv")
    yield "ni_rram", _table(4e-6 * (((pre[:, 0] - 18433) // 2) % 32 + 0.5), 1 / pre[:, 1])
    unit = {"conductance": "uS", "target": "uS"}
    how = Reading(units=unit, sheet="3c_conductance_value", melt="target")
    yield "readc", read_table(DATA / "readc" / "SourceData_Fig_3.xlsx", how)
    names = tuple("addr,real,r,g,gi,range,timept".split(","))
    roles = {"cell": "addr", "time": "timept", "conductance": "g", "level": "range"}
    all_times = read_table(
        DATA / "techB" / "relaxdata_10k.min.tsv.gz", Reading(columns=roles, names=names, keep={"level": (0, 31)})
    )
    for time in (0.0, 0.01, 1.0):
        at = all_times.take(all_times["time"] == time)
        yield f"techB {time:g} s after programming", _table(4e-6 * (at["level"] + 0.5), at["conductance"])


def _map() -> Iterator[tuple[str, Table]]:
    text = (DATA / "supert_a0_digitised.json").read_text(encoding="utf-8")
    read = np.array(json.loads(text)["chip45_array1_G_uS_decoded_pm0p8"], dtype=np.float64)
    target = np.broadcast_to(np.linspace(0, 98.4e-6, 64), read.shape)
    yield "superT A0 map", _table(target.ravel(), 1e-6 * read.ravel())


def _table(target: FloatArray, conductance: FloatArray) -> Table:
    cell = np.arange(target.size, dtype=np.float64)
    columns = {"cell": cell, "target": np.asarray(target), "conductance": np.asarray(conductance)}
    return Table(columns, np.arange(1, target.size + 1, dtype=np.int64), "measured")
