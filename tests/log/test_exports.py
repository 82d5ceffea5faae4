"""Exports: other programs get the values, units, chips and words of a run; CSV and MATLAB files by the core alone."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from imssa_lab.contract.errors import ConfigError, LogError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import open_run, record
from imssa_lab.log.read.exported_files import Csv, export, export_maps
from imssa_lab.log.read.tables import cells, to_pandas

from .conftest import Chip

ALL = ["read_mvm", "read_conductances", "pulses", "program", "waits", "events", "wire"]


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A run on two chips, of which one has larger steps of its converter, and what its calls gave."""
    seen: dict[str, Any] = {}
    mask = np.zeros((5, 4), dtype=np.bool_)
    mask[1:3] = True
    with record(tmp_path / "run.h5", [Chip(1), Chip(2, coarser=1.5)], {}) as (one, two):
        seen["products"] = one.read_mvm(np.linspace(-0.2, 0.2, 15).reshape(3, 5))
        seen["mean"] = two.read_conductances(mask, averages=3)
        seen["report"] = one.program_conductances(np.full((5, 4), 4e-5))
        two.apply_pulses(Pulses.on(mask, "RESET", 1.25, 2.0, 1e-6))
        one.wait(2.0)
    return tmp_path / "run.h5", seen


def rows(path: Path, separator: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("# ")]
    return head, list(csv.DictReader(lines[len(head) :], delimiter=separator))


def test_csv_by_the_core_alone_has_values_units_chips_and_words(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = run
    for name in ("pandas", "pyarrow", "xarray"):
        monkeypatch.setitem(sys.modules, name, None)
    with open_run(path) as opened:
        export(opened, tmp_path / "out", "csv", ALL)
        uuid = opened.uuid
    head, found = rows(tmp_path / "out" / "read_mvm.csv")
    assert head[0] == f"# run: {uuid}"
    assert head[-2:] == ["# array 0: chip 1 (7)", "# array 1: chip 2 (7)"]
    current = np.array([[float(row[f"current_{col} [A]"]) for col in range(4)] for row in found])
    assert np.array_equal(current, seen["products"])  # the shortest text that reads back as the same number
    assert [float(row["voltage_0 [V]"]) for row in found] == np.linspace(-0.2, 0.2, 15)[[0, 5, 10]].tolist()
    assert {row["array"] for row in found} == {"0"}
    _, found = rows(tmp_path / "out" / "read_conductances_cells.csv")
    mine = [row for row in found if row["seq"] == found[0]["seq"]]
    assert [row["average"] for row in mine] == ["1"] * 8 + ["2"] * 8 + ["3"] * 8
    cell = [float(row["conductance [S]"]) for row in mine if (row["row"], row["col"]) == ("2", "3")]
    assert np.mean(cell) == pytest.approx(seen["mean"][2, 3], rel=1e-12)
    assert {row["kind"] for row in rows(tmp_path / "out" / "pulses.csv")[1]} == {"SET", "RESET"}
    _, found = rows(tmp_path / "out" / "program_cells.csv")
    assert {row["outcome"] for row in found} <= {"reached", "gave up", "stuck low", "stuck high", "budget"}
    assert [float(row["achieved [S]"]) for row in found] == seen["report"].achieved.ravel().tolist()
    assert float(rows(tmp_path / "out" / "waits.csv")[1][0]["seconds [s]"]) == 2.0
    assert not (tmp_path / "out" / "wire.csv").exists()  # no records, no file


def test_a_decimal_comma(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with open_run(run[0]) as opened:
        export(opened, tmp_path / "out", "csv", ["waits"], layout=Csv(";", ","))
    assert rows(tmp_path / "out" / "waits.csv", ";")[1][0]["seconds [s]"] == "2,0"
    for wrong in ((",", ","), ("", "."), (";", "x")):
        with pytest.raises(ConfigError, match="German Excel"):
            Csv(*wrong)


def test_maps_are_matrices(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, seen = run
    with open_run(path) as opened:
        written = {file.name.split("-", 1)[1]: file for file in export_maps(opened, tmp_path / "out")}
        pulses = int(opened.column("pulses", "seq", -1))
        chosen = [file.name for file in export_maps(opened, tmp_path / "pulses", [pulses])]
        with pytest.raises(ConfigError, match="call 0 has no maps"):
            export_maps(opened, tmp_path / "none", [0])
    reads = [f"array1-read{number}-{what}.csv" for number in (1, 2, 3) for what in ("conductance_S", "current_A")]
    results = [f"array0-programmed-{what}.csv" for what in ("achieved_S", "outcome", "pulses", "target_S")]
    assert sorted(written) == sorted(results + reads)  # and none of the reads inside programming
    average = [np.genfromtxt(written[f"array1-read{n}-conductance_S.csv"], delimiter=",") for n in (1, 2, 3)]
    assert np.array_equal(np.isnan(average[0]), np.isnan(seen["mean"]))
    assert not np.array_equal(average[0], average[1], equal_nan=True)
    assert np.allclose(np.mean(average, axis=0), seen["mean"], rtol=1e-12, equal_nan=True)
    assert "# of: array 1, chip 2 (7)" in written[reads[0]].read_text()
    assert "# holds: conductance, S; rows are word lines" in written[reads[0]].read_text()
    assert "reached" in written["array0-programmed-outcome.csv"].read_text()
    assert chosen == [f"{pulses:06d}-array1-RESET-voltage_V.csv", f"{pulses:06d}-array1-RESET-gate_V.csv"]


def test_matlab_gets_structures_with_units(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, seen = run
    with open_run(path) as opened:
        (file,) = export(opened, tmp_path / "out", "mat", ALL)
        with pytest.raises(ConfigError, match="nothing was overwritten"):
            export(opened, tmp_path / "out", "mat", ALL)
    found = loadmat(file, simplify_cells=True)
    assert found["about"]["array_1"] == "chip 2 (7)"
    assert np.array_equal(found["read_mvm"]["current"], seen["products"])
    reads = found["read_conductances"]
    mine = reads["map_seq"] == reads["map_seq"][0]
    assert reads["conductance"].shape[1:] == (5, 4)
    assert np.allclose(reads["conductance"][mine].mean(axis=0), seen["mean"], rtol=1e-12, equal_nan=True)
    assert set(found["pulses"]["kind"]) == {"SET", "RESET"}
    assert len(found["pulses"]["voltage"]) == len(found["pulses"]["cell_seq"])
    assert found["units"]["read_mvm"]["voltage"] == "V"
    assert found["units"]["read_conductances"]["conductance"] == "S"


def test_parquet_carries_units_chip_and_run(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with open_run(run[0]) as opened:
        export(opened, tmp_path / "out", "parquet", ["pulses", "read_mvm"])
        uuid, frame = opened.uuid, to_pandas(opened, "read_mvm")
        listed = cells(opened, "pulses")
    table = parquet.read_table(tmp_path / "out" / "read_mvm.parquet")
    assert table.schema.metadata[b"run"].decode() == uuid
    assert table.schema.metadata[b"array 1"] == b"chip 2 (7)"
    assert json.loads(table.schema.metadata[b"units"])["voltage_0"] == "V"
    assert table.schema.field("current_3").metadata == {b"unit": b"A"}
    assert table.to_pandas()["current_3"].tolist() == frame["current_3"].tolist()
    assert parquet.read_table(tmp_path / "out" / "pulses.parquet")["kind"].to_pylist()[-1] == "RESET"
    assert parquet.read_table(tmp_path / "out" / "pulses_cells.parquet").num_rows == len(listed)


def test_what_is_refused(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with open_run(run[0]) as opened:
        with pytest.raises(ConfigError, match="choose csv, parquet, mat"):
            export(opened, tmp_path / "out", "xls", ["waits"])
        with pytest.raises(LogError, match="no table 'nothing'"):
            export(opened, tmp_path / "out", "csv", ["nothing"])
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors as Linux shows them")
def test_reading_past_damage_leaves_no_file_open(run: tuple[Path, dict[str, Any]]) -> None:
    """A notebook that reads a table every second would run out of descriptors within the hour."""

    def opened() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{name}") == str(run[0]) for name in os.listdir("/proc/self/fd"))

    with open_run(run[0]) as found:
        before = opened()
        for _ in range(3):
            found.table("read_mvm", skip_damaged=True).load()
            list(cells(found, "read_conductances", skip_damaged=True))
        assert opened() == before > 0
