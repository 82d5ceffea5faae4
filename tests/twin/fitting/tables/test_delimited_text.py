"""Text files of other programs: read as they are meant, or refused with the line and the option that helps."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from twin.fitting.tables.measured_tables import Reading, Table, read_table

UNITS = {"initial": "uS", "conductance": "uS"}
ROWS = [(cell, time, 60.0 + cell, 59.5 + cell - 0.1 * time) for cell in range(4) for time in (1, 10)]


def text(
    separator: str = ",", decimal: str = ".", header: str = "cell,time,initial,conductance", end: str = ""
) -> str:
    lines = [separator.join(f"{value:g}".replace(".", decimal) for value in row) + end for row in ROWS]
    return "\n".join([header.replace(",", separator), *lines]) + "\n"


def read(tmp_path: Path, content: str | bytes, name: str = "data.csv", **options: object) -> Table:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(data)
    return read_table(tmp_path / name, Reading(units=UNITS, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (text(), {}),
        ("\ufeff" + text(), {}),
        (text().replace(",", ", "), {}),
        (text().replace("\n", "\r\n"), {}),
        (text().replace("\n", "\n   \n\n", 3), {}),
        ("# bench 3\n# by me\n" + text(), {}),
        ("# " + text(), {}),
        ("# bench 3\n# " + text(), {}),
        (text(";"), {"separator": ";"}),
        (text(";", ","), {"separator": ";", "decimal": ","}),
        (text(" "), {"separator": " "}),
        (text("\t"), {"separator": "\t"}),
        (text().partition("\n")[2], {"names": ("cell", "time", "initial", "conductance")}),
    ],
)
def test_what_can_be_read_is_read_the_same(tmp_path: Path, content: str, options: dict[str, object]) -> None:
    """Byte-order marks, blanks, Windows line ends, lines of blanks, comments, the header of numpy.savetxt."""
    found = read(tmp_path, content, **options)
    expected = np.array(ROWS)
    for column, (role, scale) in enumerate((("cell", 1), ("time", 1), ("initial", 1e-6), ("conductance", 1e-6))):
        np.testing.assert_allclose(found[role], scale * expected[:, column])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (text(end=","), r"line 2: 5 fields, 4 in the header; the line ends with a separator"),
        (text(end=",25.0"), r"line 2: 5 fields, 4 in the header"),
        (text(decimal=","), r"line 2: [56] fields, 4 in the header; .*decimal commas"),
        ("# a\n# b\n\n" + text() + "9,1,60\n", r"line 13: 3 fields, 4 in the header"),
        (text(";"), r"separated by ';'\? Add --separator ';'"),
        (text(";", ","), r"separated by ';'\? Add --separator ';', and --decimal ,"),
        (text(header="cell,time,time,conductance"), "two columns are called 'time'"),
        (text() + '9,1,"60,59\n', r"line 10: .*quotation mark"),
        (b"cell,time\n1,\xff\n", "not text in UTF-8"),
        (b"", "no line holds data"),
    ],
)
def test_what_would_be_shifted_or_lost_is_refused_by_its_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        read(tmp_path, content)


def test_decimal_commas_behind_semicolons_are_named_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds '\d+,\d'; are these decimal commas\? add --decimal ,"):
        read(tmp_path, text(";", ","), separator=";")


def test_one_name_too_few_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: 4 fields, 3 are named"):
        read(tmp_path, text().partition("\n")[2], names=("cell", "time", "initial"))


@pytest.mark.parametrize("named", [False, True])
def test_addresses_are_text_and_rows_without_one_are_left_out_by_name(tmp_path: Path, named: bool) -> None:
    """3.1 and 3.10 are two cells; with a gap, the row is left out instead of becoming a cell of its own."""
    addresses = ["A1", "A2", "", "B1"] if named else ["3.1", "3.10", "", "3.2"]
    lines = [f"{address},1,60,59" for address in addresses]
    found = read(tmp_path, "cell,time,initial,conductance\n" + "\n".join(lines) + "\n")
    assert np.unique(found["cell"]).size == found.size == 3
    assert found.remarks[0].rows == (4,)


def test_files_that_are_cut_off_or_are_something_else_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(text().encode())
    assert read(tmp_path, whole, "good.csv.gz").size == len(ROWS)
    for name, content in (
        ("cut.csv.gz", whole[:-20]),
        ("none.csv.gz", b"cell,time\n"),
        ("bad.xlsx", b"PK\x03\x04abc"),
        ("bad.nc", b"\x89HDF\r\n\x1a\n"),
        ("bad.h5", b"nothing"),
        ("bad.parquet", b"PAR1"),
    ):
        with pytest.raises(DataError, match=rf"{name}.* (is damaged or cut off|cannot be read)"):
            read(tmp_path, content, name)


def test_decimal_addresses_of_a_workbook_are_refused(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"cell": [3.1, 3.2], "conductance": [50.0, 51.0]}).to_excel(tmp_path / "a.xlsx", index=False)
    with pytest.raises(DataError, match=r"3\.1 and 3\.10 are equal"):
        read_table(tmp_path / "a.xlsx", Reading(units={"conductance": "uS"}))


PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}


@pytest.mark.parametrize(
    ("role", "units"),
    [
        ("conductance", "S mS uS µS nS"),
        ("resistance", "Ohm kOhm MOhm"),
        ("current", "A mA uA µA nA"),
        ("voltage", "V mV"),
        ("time", "s ms us"),
    ],
)
def test_units_are_those_of_their_prefixes(tmp_path: Path, role: str, units: str) -> None:
    base = units.split()[0]
    for unit in units.split():
        factor = PREFIXES[unit.removesuffix(base)]
        small = 1e4 if role == "resistance" else 2e-3
        values = np.array([1.0, 2.0, 4.0]) * small / factor
        (tmp_path / "data.csv").write_text(
            f"cell,{role}\n" + "".join(f"{k},{v!r}\n" for k, v in enumerate(values.tolist()))
        )
        found = read_table(tmp_path / "data.csv", Reading(units={role: unit}))
        assert found[role] == pytest.approx(np.array([1.0, 2.0, 4.0]) * small, rel=1e-12), unit
        if role == "resistance":
            assert found["conductance"] == pytest.approx(1 / (np.array([1.0, 2.0, 4.0]) * small), rel=1e-12)


def test_minutes_and_hours_are_taken_as_times(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("cell,time\n1,2\n2,3\n")
    for unit, factor in (("min", 60.0), ("h", 3600.0)):
        found = read_table(tmp_path / "data.csv", Reading(units={"time": unit}))
        assert found["time"].tolist() == [2 * factor, 3 * factor]
