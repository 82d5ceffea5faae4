"""Tables that fits read: of runs, of wide files, with cells that have words for addresses."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from imssa_lab.log import record
from twin import DigitalTwin
from twin.fitting.tables.measured_tables import Reading, read_table
from twin.fitting.tables.run_tables import programming_table


def test_the_table_of_a_run_is_what_its_programming_reported(tmp_path: Path) -> None:
    """Two programmings of one array: cells by their number, targets and the re-read of each."""
    mask = np.zeros((4, 4), dtype=bool)
    mask[1, 2] = mask[3, 0] = True
    reports = []
    with record(tmp_path / "run.h5", [DigitalTwin("supert-a0-easy", shape=(4, 4), seed=1)], {}) as (array,), array:
        for level in (30e-6, 60e-6):
            reports.append(array.program_conductances(np.full((4, 4), level), mask))
        array.read_conductances()
    found = programming_table(tmp_path / "run.h5")
    assert found["cell"].tolist() == [6, 12] * 2
    assert found["target"] == pytest.approx([30e-6] * 2 + [60e-6] * 2)
    assert found["conductance"].tolist() == np.concatenate([report.achieved[mask] for report in reports]).tolist()
    assert found.numbers(np.ones(4, dtype=bool)) == (1, 2, 3, 4)


def test_a_run_without_programming_says_so(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", shape=(4, 4))], {}) as (array,), array:
        array.read_conductances()
    with pytest.raises(DataError, match="programmed no cell"):
        programming_table(tmp_path / "run.h5")


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rows_that_are_left_out_as_asked_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "g.csv", "target,conductance", [f"5e-5,{value}e-6" for value in (1, 10, 20, 20, 90, 95)])
    found = read_table(path, Reading(keep={"conductance": (10e-6, 90e-6)}))
    assert found["conductance"] == pytest.approx([10e-6, 20e-6, 20e-6, 90e-6])
    assert [str(one) for one in found.remarks if "left out as asked" in str(one)] != []
    assert "2 rows" in next(str(one) for one in found.remarks if "left out as asked" in str(one))
    everything = read_table(path, Reading(keep={"conductance": (1e-6, 95e-6)}))
    assert not [one for one in everything.remarks if "left out as asked" in str(one)]


def test_addresses_in_words_number_the_cells(tmp_path: Path) -> None:
    rows = [f"{cell},5e-5,{value}e-6" for cell, value in (("A1", 40), ("B7", 50), ("A1", 60), ("C2", 55))]
    found = read_table(write(tmp_path / "g.csv", "cell,target,conductance", rows), Reading())
    assert found["cell"].tolist() == [0, 1, 0, 2]
    assert found["conductance"] == pytest.approx([40e-6, 50e-6, 60e-6, 55e-6])


def test_cells_of_different_levels_in_a_wide_file_are_different_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "g.csv", "Target_50uS,Target_90uS", ["5e-5,9e-5", "5.1e-5,9.1e-5", "5.2e-5,9.2e-5"])
    found = read_table(path, Reading(melt="target", units={"target": "uS"}))
    assert found["target"] == pytest.approx([50e-6] * 3 + [90e-6] * 3)
    assert len(np.unique(found["cell"])) == 6
    assert found["conductance"] == pytest.approx([50e-6, 51e-6, 52e-6, 90e-6, 91e-6, 92e-6])
