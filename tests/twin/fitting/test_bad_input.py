"""Data that cannot be right are refused or named with their rows, never fitted in silence."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from tests.twin.fitting.conftest import relaxed, table
from twin.fitting.current_voltage import fit_current_voltage
from twin.fitting.programming_error import fit_programming
from twin.fitting.quantities import quantity_of
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.relaxation_fit import fit_relaxation
from twin.fitting.stuck import fit_stuck
from twin.fitting.tables.measured_tables import Reading, read_table

HEAD = "cell,time,initial,conductance\n"


def written(tmp_path, text, name="data.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    path = written(tmp_path, "cell,g\n1,2e-5\n")
    with pytest.raises(DataError, match=r"no column 'conductanc' for conductance; there are cell, g"):
        read_table(path, Reading(columns={"conductance": "conductanc"}))
    with pytest.raises(ConfigError, match="'colour' is not a column"):
        read_table(path, Reading(columns={"colour": "g"}))
    with pytest.raises(DataError, match="allow no fit"):
        quantity_of(read_table(path, Reading(columns={"conductance": "g"})))


def test_a_file_without_header_is_told_to_name_its_columns(tmp_path):
    path = written(tmp_path, "1,1.0,2e-5,3e-5\n2,1.0,2e-5,3e-5\n")
    for reading in (Reading(), Reading(columns={"conductance": "g"})):
        with pytest.raises(DataError, match=r"has it no header.* --names"):
            read_table(path, reading)
    named = read_table(path, Reading(names=("cell", "time", "initial", "conductance")))
    assert named.size == 2
    with pytest.raises(DataError, match="--column ROLE=NAME"):  # null control: words are a header
        read_table(written(tmp_path, "a,b\n1,2\n", "words.csv"), Reading())


def test_microsiemens_taken_for_siemens_are_refused_with_the_cure(tmp_path):
    path = written(tmp_path, HEAD + "1,1,50,49\n")
    with pytest.raises(DataError, match=r"initial of 50 S, beyond 0.01 S \(row 2\).* --unit initial=uS"):
        read_table(path, Reading())
    table_ = read_table(path, Reading(units={"initial": "uS", "conductance": "uS"}))
    assert table_["initial"][0] == pytest.approx(50e-6)
    with pytest.raises(ConfigError, match="unit 'furlong'"):
        read_table(path, Reading(units={"initial": "furlong"}))


def test_a_unit_too_small_is_named_and_that_of_a_resistance_by_its_own_name(tmp_path):
    path = written(tmp_path, HEAD + "1,1,5e-5,4e-5\n")
    found = read_table(path, Reading(units={"initial": "uS"}))
    assert [remark.rows for remark in found.remarks if "is the unit another one" in str(remark)] == [(2,)]
    assert not read_table(path, Reading()).remarks
    ohm = written(tmp_path, "cell,target,resistance\n1,5e-5,20\n", "ohm.csv")
    with pytest.raises(DataError, match="--unit resistance=kOhm"):
        read_table(ohm, Reading())


def test_words_in_a_column_are_named_by_row(tmp_path):
    path = written(tmp_path, HEAD + "1,1,5e-5,4e-5\n2,1,5e-5,oops\n3,1,5e-5,4e-5\n")
    found = read_table(path, Reading())
    assert found.size == 2
    assert found.remarks[0].rows == (3,)


def test_negative_conductances_few_are_named_many_are_refused():
    data = relaxed(800, times=(1.0,))
    changed = data["conductance"].copy()
    changed[7] = -1e-6
    data = replace(data, columns={**data.columns, "conductance": changed})
    outcome = fit_relaxation(data, np.random.default_rng(0))
    assert any("zero or negative" in remark.what and remark.rows == (9,) for remark in outcome.remarks)
    changed[:100] = -1e-6
    data = replace(data, columns={**data.columns, "conductance": changed})
    with pytest.raises(DataError, match=r"negative in 100 of 800 rows \(rows 2, 3, .* and 88 more\)"):
        fit_relaxation(data, np.random.default_rng(0))


def test_negative_values_of_every_quantity_are_named_or_refused():
    rng = np.random.default_rng(0)
    cell = np.arange(200)
    target = 10e-6 * (1 + cell % 4)
    g = target + rng.normal(0, 1e-6, 200)
    few = np.where(cell == 5, -g, g)
    bit = cell % 2
    states = np.where(bit == 1, 3e-6, 80e-6) * np.exp(rng.normal(0, 0.1, 200))
    trace = 50e-6 + rng.normal(0, 1e-6, 200)
    named = (
        (fit_programming, {"cell": cell, "target": target, "conductance": few}),
        (lambda t, _: fit_stuck(t), {"bit": bit, "conductance": np.where(cell == 5, -states, states)}),
        (fit_read_noise, {"read": cell, "conductance": np.where(cell == 5, -trace, trace)}),
    )
    for fit, columns in named:
        remarks = fit(table(**columns), rng).remarks
        assert any("negative" in remark.what and remark.rows == (7,) for remark in remarks)
    volt, curve = np.tile(np.linspace(0, 0.35, 10), 20), np.repeat(np.arange(20), 10)
    current = np.repeat(np.linspace(20e-6, 90e-6, 20), 10) * volt * (1 + 0.3 * volt**2) + rng.normal(0, 1e-8, 200)
    one = fit_current_voltage(table(cell=curve, voltage=volt, current=np.where(curve == 2, -current, current)), rng)
    assert any("against the voltage" in r.what and r.rows == tuple(range(22, 32)) for r in one.remarks)
    refused = (
        (fit_programming, {"cell": cell, "target": -target, "conductance": g}, "negative targets"),
        (fit_programming, {"cell": cell, "target": target, "conductance": -g}, "negative in 200 of 200 rows"),
        (lambda t, _: fit_stuck(t), {"bit": bit, "conductance": -states}, "negative in 200 of 200 rows"),
        (fit_read_noise, {"read": cell, "conductance": -trace}, "negative in 200 of 200 rows"),
        (fit_current_voltage, {"cell": curve, "voltage": volt, "current": -current}, "against the voltage"),
    )
    for fit, columns, says in refused:
        with pytest.raises(DataError, match=rf"{says}.*rows 2, 3"):
            fit(table(**columns), rng)


def test_bits_that_are_none_are_refused_with_their_rows():
    bit, states = np.arange(60) % 2, np.where(np.arange(60) % 2 == 1, 3e-6, 80e-6)
    bit[9] = 2
    with pytest.raises(DataError, match=r"neither 0 nor 1 \(row 11\)"):
        fit_stuck(table(bit=bit, conductance=states))


def test_readings_whose_numbers_are_out_of_order_are_sorted_and_named():
    values, read = np.random.default_rng(0).normal(50e-6, 1e-6, 200), np.arange(200)
    swapped = np.arange(200)
    swapped[[4, 9]] = swapped[[9, 4]]
    straight = fit_read_noise(table(read=read, conductance=values), np.random.default_rng(1))
    mixed = fit_read_noise(table(read=swapped, conductance=values[swapped]), np.random.default_rng(1))
    assert mixed.sections == straight.sections
    assert any("out of order" in remark.what and remark.rows == (7, 11) for remark in mixed.remarks)


def test_too_few_cells_are_refused():
    with pytest.raises(DataError, match="20 cells, relaxation needs 40"):
        fit_relaxation(relaxed(20), np.random.default_rng(0))


def test_times_out_of_order_and_negative_times():
    data = relaxed(800, times=(1.0, 10.0))
    swapped = data["time"].copy()
    swapped[[5, 805]] = swapped[[805, 5]]
    columns = dict(data.columns) | {"time": swapped}
    outcome = fit_relaxation(table(**columns), np.random.default_rng(0))
    assert any("out of order" in remark.what and remark.rows == (807,) for remark in outcome.remarks)
    columns["time"] = swapped - 5
    with pytest.raises(DataError, match="negative times, first in row"):
        fit_relaxation(table(**columns), np.random.default_rng(0))


def test_a_level_with_three_cells_is_named():
    data = relaxed(800, times=(1.0,))
    level = np.zeros(800)
    level[[3, 4, 5]] = 7
    outcome = fit_relaxation(table(**data.columns, level=level), np.random.default_rng(0))
    assert any("level 7 has only 3 cells" in remark.what and remark.rows == (5, 6, 7) for remark in outcome.remarks)


def test_all_values_the_same_are_refused():
    data = dict(relaxed(800, times=(1.0,)).columns)
    data["conductance"] = data["initial"]
    with pytest.raises(DataError, match=r"all .* values are the same"):
        fit_relaxation(table(**data), np.random.default_rng(0))


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet", "xlsx", "nc"])
def test_every_form_reads_the_same(tmp_path, ending):
    import pandas

    frame = pandas.DataFrame({"cell": [1, 2], "conductance": [2e-5, 3e-5]})
    path = tmp_path / f"data.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "xlsx":
        frame.to_excel(path, index=False)
    elif ending == "nc":
        frame.to_xarray().to_netcdf(path, engine="h5netcdf")
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    found = read_table(path, Reading())
    assert np.allclose(found["conductance"], [2e-5, 3e-5])


def test_a_file_without_header_and_one_that_is_no_table(tmp_path):
    bare = written(tmp_path, "1\t25000\n2\t50000\n", "bare.tsv")
    found = read_table(bare, Reading(names=("addr", "R"), columns={"cell": "addr", "resistance": "R"}))
    assert np.allclose(found["conductance"], [4e-5, 2e-5])
    assert list(found.rows) == [1, 2]
    with pytest.raises(DataError, match="cannot be read"):
        read_table(written(tmp_path, "no workbook", "x.xlsx"), Reading())
    with pytest.raises(ConfigError, match="unknown file format"):
        read_table(written(tmp_path, "x", "x.docx"), Reading())
    with pytest.raises(ConfigError, match="no such file"):
        read_table(tmp_path / "no.csv", Reading())


def test_headers_that_are_levels(tmp_path):
    path = written(tmp_path, "Target_100uS,Target_150uS\n99,151\n101,149\n")
    found = read_table(path, Reading(melt="target", units={"target": "uS", "conductance": "uS"}))
    assert np.allclose(found["target"], [100e-6, 100e-6, 150e-6, 150e-6])
    assert np.unique(found["cell"]).size == 4
