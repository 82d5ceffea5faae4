"""Data at the edge of a rule: zeros and round numbers, as instruments and spreadsheets give them."""

import re
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from tests.twin.fitting.conftest import table
from twin.fitting.current_voltage import fit_current_voltage
from twin.fitting.tables.measured_tables import Reading, Table, read_table


def read(tmp_path: Path, text: str, **how: object) -> Table:
    (tmp_path / "data.csv").write_text(text)
    return read_table(tmp_path / "data.csv", Reading(**how))  # type: ignore[arg-type]


def test_cells_that_carry_exactly_nothing_have_no_negative_conductance() -> None:
    """An ADC gives zeros: such cells are left out, but they are no sign of swapped leads."""
    g = np.linspace(20e-6, 80e-6, 40)
    g[:25] = 0.0
    volts = np.tile(np.linspace(-0.35, 0.35, 31), g.size)
    current = np.repeat(g, 31) * volts
    data = table(cell=np.repeat(np.arange(g.size), 31), voltage=volts, current=current)
    said = [str(one) for one in fit_current_voltage(data, np.random.default_rng(0)).remarks]
    assert any("25 cells carry no current" in one for one in said)
    assert not any("negative conductance" in one for one in said)


def test_only_rows_below_the_typical_conductance_are_named(tmp_path: Path) -> None:
    rows = ["0.000000005", "0.000000005", "0.000000005", "0.00000001", "0.00000001"]
    found = read(tmp_path, "target,conductance\n" + "\n".join(f"0.00005,{row}" for row in rows) + "\n")
    (remark,) = found.remarks
    assert "conductance below 0.01 uS" in str(remark)
    assert remark.rows == (2, 3, 4)
    at_the_bound = read(tmp_path, "target,conductance\n" + "0.00005,0.00000001\n" * 3)
    assert not at_the_bound.remarks


@pytest.mark.parametrize(
    ("role", "bound", "beyond", "unit"),
    [("voltage", "20", "20.1", "V"), ("current", "0.1", "0.11", "A"), ("conductance", "0.01", "0.011", "S")],
)
def test_the_largest_value_itself_is_taken(tmp_path: Path, role: str, bound: str, beyond: str, unit: str) -> None:
    assert read(tmp_path, f"cell,{role}\n1,{bound}\n2,-{bound}\n")[role].tolist() == [float(bound), -float(bound)]
    with pytest.raises(DataError, match=rf"{role} of {beyond} {unit}, beyond {bound} {unit}.*row 3"):
        read(tmp_path, f"cell,{role}\n1,{bound}\n2,{beyond}\n")


def test_words_among_numbers_are_rows_without_a_number(tmp_path: Path) -> None:
    found = read(tmp_path, "target,conductance\n5e-5,1e-5\n5e-5,broken\n5e-5,\n5e-5,4e-5\n")
    assert found["conductance"].tolist() == [1e-5, 4e-5]
    (remark,) = found.remarks
    assert remark.rows == (3, 4)
    with pytest.raises(DataError, match=r"'conductance' \(conductance\) holds no numbers"):
        read(tmp_path, "target,conductance\n5e-5,broken\n5e-5,\n")


def test_the_first_decimal_comma_is_shown_not_an_empty_field_or_a_number(tmp_path: Path) -> None:
    text = "target;conductance\n50;\n50;7\n50;61,5\n50;62,5\n"
    with pytest.raises(DataError, match=r"holds '61,5'; are these decimal commas\? add --decimal ,"):
        read(tmp_path, text, separator=";")
    found = read(tmp_path, text, separator=";", decimal=",", units={"target": "uS", "conductance": "uS"})
    assert found["conductance"] == pytest.approx([7e-6, 61.5e-6, 62.5e-6])


def test_half_of_the_rows_may_lack_a_number_but_not_more(tmp_path: Path) -> None:
    assert read(tmp_path, "target,conductance\n5e-5,1e-5\n5e-5,\n").size == 1
    with pytest.raises(DataError, match=r"2 of 3 rows have no number .* First: row 3"):
        read(tmp_path, "target,conductance\n5e-5,1e-5\n5e-5,\n5e-5,\n")


@pytest.mark.parametrize("other", [";", "\t"])
def test_lines_with_another_separator_than_the_header_are_told_from_lines_that_lack_fields(
    tmp_path: Path, other: str
) -> None:
    row = other.join(("1", "5e-5", "6e-5"))
    with pytest.raises(DataError, match=re.escape(f"line 2: 1 fields, 3 in the header; add --separator {other!r}")):
        read(tmp_path, f"cell,target,conductance\n{row}\n")
    with pytest.raises(DataError, match="line 2: 1 fields, 3 in the header; every line needs as many fields"):
        read(tmp_path, f"cell,target,conductance\n{other.join(('1', '5e-5'))}\n")
    with pytest.raises(DataError, match="line 2: 2 fields, 3 in the header; every line needs as many fields"):
        read(tmp_path, f"cell,target,conductance\n1,5e-5{other}6e-5\n")
    with pytest.raises(DataError, match="line 2: 1 fields, 3 in the header; every line needs as many fields"):
        read(tmp_path, "cell target conductance\n1;5e-5;6e-5\n", separator=" ")


def test_a_separator_at_the_end_of_lines_is_one_empty_field(tmp_path: Path) -> None:
    ends = "the line ends with a separator"
    with pytest.raises(DataError, match=ends):
        read(tmp_path, "cell,conductance\n1,5e-5,\n")
    for row in ("1,5e-5,,", "1,5e-5,7"):
        with pytest.raises(DataError, match="every line needs as many fields"):
            read(tmp_path, f"cell,conductance\n{row}\n")


def test_a_comment_is_the_header_only_above_numbers_and_in_words(tmp_path: Path) -> None:
    assert read(tmp_path, "# cell,conductance\n1,5e-5\n,6e-5\n").size == 1  # an empty field is no word
    assert read(tmp_path, "# 2024,7\ncell,conductance\n1,5e-5\n").size == 1
    assert read(tmp_path, "# bench,3\ncell,conductance\n1,5e-5\n2,6e-5\n").size == 2
    with pytest.raises(DataError, match=r"none of its columns \(1, 5e-5\) was named"):
        read(tmp_path, "# 2024,7\n1,5e-5\n2,6e-5\n")
