"""Conductances in aihwkit's exported form: against lines written here by its description, and named refusals."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.bridges.aihwkit_csv import AnalogLayer, read_layers, write_layers
from imssa_lab.contract.errors import ConfigError
from twin import DigitalTwin

EXPORTED = (
    b"1,4\nAnalogConv2d,AnalogLinear\n6,2\n2,1\n3,2\nfeatures.0,fc\r\n"
    b"0.0,12.5,40.0,7.25,3.0000000000000004,1e-05\r\n39.99999237060547,0.5\r\n"
)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "layers.csv"
    path.write_bytes(EXPORTED)
    return path


def test_layers_of_a_file_that_aihwkit_exported(exported: Path) -> None:
    """Lines as its export makes them: five joined by commas with a line feed, then rows of Python's csv writer."""
    first, second = read_layers(exported)
    assert (first.name, first.number, first.kind) == ("features.0", 1, "AnalogConv2d")
    assert (second.name, second.number, second.kind) == ("fc", 4, "AnalogLinear")
    assert first.conductance * 1e6 == pytest.approx(np.array([[0.0, 12.5, 40.0], [7.25, 3.0, 1e-5]]))
    assert second.conductance * 1e6 == pytest.approx(np.array([[39.99999237060547, 0.5]]))


def test_what_is_written_is_what_aihwkit_compares_and_reads(exported: Path, tmp_path: Path) -> None:
    """Its import wants the five lines to the character, then a row of floats by name; so this reads here."""
    again = tmp_path / "again.csv"
    write_layers(again, read_layers(exported))
    assert again.read_bytes().split(b"\r\n")[0] == EXPORTED.split(b"\r\n")[0]
    rows = again.read_text(encoding="utf-8").splitlines()[6:]
    expected = EXPORTED.decode().splitlines()[6:]
    for row, wanted in zip(rows, expected, strict=True):
        assert [float(x) for x in row.split(",")] == pytest.approx([float(x) for x in wanted.split(",")], rel=1e-14)
    assert again.read_bytes().count(b"\r\n") == 3
    assert not list(tmp_path.glob("*.draft"))


def test_any_layers_come_back_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layers = [
        AnalogLayer(f"net, part {n}", n, "AnalogLinear", rng.uniform(0, 4e-5, (n + 1, 7 - n))) for n in range(4)
    ]
    write_layers(tmp_path / "x.csv", layers)
    for mine, other in zip(layers, read_layers(tmp_path / "x.csv"), strict=True):
        assert (mine.name, mine.number, mine.kind) == (other.name, other.number, other.kind)
        assert other.conductance == pytest.approx(mine.conductance, rel=1e-14)
        assert other.conductance.shape == mine.conductance.shape


def test_a_chip_is_programmed_with_a_layer_and_what_it_holds_goes_back(exported: Path, tmp_path: Path) -> None:
    """Inputs are word lines: a product of the array is that of the layer's matrix."""
    layer = read_layers(exported)[0]
    chip = DigitalTwin("ideal", (3, 2))
    chip.cells.conductance = layer.conductance.T.copy()
    volts = np.array([0.1, 0.2, 0.05])
    assert chip.read_mvm(volts) == pytest.approx(layer.conductance @ volts, rel=1e-6)
    measured = AnalogLayer(layer.name, layer.number, layer.kind, chip.read_conductances().T)
    write_layers(tmp_path / "chip.csv", [measured])
    assert read_layers(tmp_path / "chip.csv")[0].conductance == pytest.approx(layer.conductance, rel=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"1,4\n", b"1\n", r"line 1 \(id\): 1 values for 2 layers"),
        (b"6,2\n", b"6,2,3\n", r"line 3 \(num_weights\): 3 values for 2 layers"),
        (b"6,2\n", b"6.0,2\n", r"line 3 \(num_weights\): '6.0' is no whole number"),
        (b"6,2\n", b"5,2\n", "layer 'features.0': 5 weights in 2 x 3"),
        (b"2,1\n3,2\n", b"0,1\n3,2\n", "6 weights in 0 x 3"),
        (b"features.0,fc", b"fc,fc", "line 6: two layers of one name"),
        (b",1e-05", b"", "5 conductances for 6 weights$"),
        (b",1e-05", b",1e-05,2.0", "7 conductances for 6 weights; layers on several tiles"),
        (b"12.5", b"-12.5", "output 0, input 1 would be -1.25e-05 S; conductances are 0 to 1 S, without signs"),
        (b"12.5", b"nan", "line 7: 'nan' is no conductance"),
        (b"12.5", b"12;5", "line 7: '12;5' is no conductance"),
        (b"39.99999237060547,0.5\r\n", b"", "1 lines of conductances for 2 layers"),
        (b"0.5\r\n", b"0.5\r\n1.0\r\n", "3 lines of conductances for 2 layers"),
        (b"AnalogConv2d", b"Analog Conv", "the name of a class"),
        (EXPORTED, b"1,4\n", "1 lines; five about the layers"),
        (EXPORTED, b"", "0 lines"),
        (EXPORTED, b"\xff\xfe\x00", "cannot be read as CSV"),
        (b"features.0,fc", b'"features.0,fc', "cannot be read as CSV"),
    ],
)
def test_files_of_another_form_are_refused_by_line(exported: Path, old: bytes, new: bytes, words: str) -> None:
    exported.write_bytes(EXPORTED.replace(old, new, 1))
    with pytest.raises(ConfigError, match=words):
        read_layers(exported)


def test_what_cannot_be_written_is_refused_and_nothing_changes(exported: Path, tmp_path: Path) -> None:
    one = AnalogLayer("fc", 1, "AnalogLinear", np.full((2, 2), 1e-5))
    for layers in ([], [one, one]):
        with pytest.raises(ConfigError, match="at least one layer, each with a name of its own"):
            write_layers(exported, layers)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_layers(tmp_path / "missing" / "x.csv", [one])
    with pytest.raises(ConfigError, match=r"must be \(outputs, inputs\)"):
        AnalogLayer("fc", 1, "AnalogLinear", np.zeros(3))
    with pytest.raises(ConfigError, match="cannot be read as CSV"):
        read_layers(tmp_path / "none.csv")
    assert exported.read_bytes() == EXPORTED
