"""The page of a characterisation, from its tables."""

import csv
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.report.characterised import characterised_figures, write_characterised_page
from imssa_lab.report.characterised import characterised_plots as drawn
from imssa_lab.report.characterised.characterised_tables import of_moving_cells, read_tables

TITLES = ("Stuck map", "Windows", "Conductance against pulses", "Endurance", "I-V", "Noise", "Relaxation", "Columns")


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    """Tables of a small board as measured, all experiments."""
    folder = tmp_path_factory.mktemp("characterised") / "chip"
    words = ["characterise", "--array", "twin:supert-a0?seed=1&shape=16x8", "--out", str(folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return folder


def table(folder, name, columns):
    with (folder / f"{name}.csv").open("w", newline="") as file:
        file.write("# no units\n")
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])


def test_the_command_leaves_the_page_with_every_picture(chip):
    page = (chip / "report.html").read_text()
    for title in TITLES:
        assert f"<h3>{title}" in page
    assert "of 128 cells are good" in page
    assert "Not measured: 2 cycles" in page  # endurance
    assert page.count("Not measured") == 1
    assert page.count("<img ") == 9


def test_an_array_of_a_single_cell_has_its_page_too(tmp_path):
    """One target, so that nothing but the array says how wide the window is."""
    words = ["characterise", "--array", "twin:supert-a0?seed=3&shape=1x1", "--out", str(tmp_path / "cell")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "of 1 cells are good" in (tmp_path / "cell" / "report.html").read_text()
    assert (read_tables(tmp_path / "cell").window.low, read_tables(tmp_path / "cell").window.high) == (2e-6, 1.5e-4)


def test_what_was_not_measured_is_said_with_the_command_that_does(chip, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    for name in ("characterisation.json", "columns.csv"):
        shutil.copy(chip / name, part)
    done = CliRunner().invoke(app, ["report", str(part)])
    assert done.exit_code == 0, done.output
    page = (part / "report.html").read_text()
    assert page.count("<img ") == 1
    for name in ("stuck", "pulses", "iv", "noise", "relaxation", "programming"):
        assert f"Not measured; imssa characterise --only {name} does." in page
    with pytest.raises(ConfigError, match="exists"):
        write_characterised_page(part, part / "report.html")
    with pytest.raises(DataError, match="holds no tables"):
        read_tables(tmp_path)


def test_a_folder_without_the_window_of_its_array_is_named(chip, tmp_path):
    old = shutil.copytree(chip, tmp_path / "old", ignore=shutil.ignore_patterns("*.html", "*.h5"))
    settings = json.loads((old / "characterisation.json").read_text())
    del settings["chip"]["window"]
    (old / "characterisation.json").write_text(json.dumps(settings))
    with pytest.raises(DataError, match="by an earlier imssa_lab"):
        write_characterised_page(old, old / "report.html")


def test_stuck_cells_are_left_out_of_what_moves_and_counted(chip):
    tables = read_tables(chip)
    state = tables.columns["stuck"]["state"]
    still = np.char.startswith(state, "stuck") | np.char.startswith(state, "dead")
    kept = np.unique(of_moving_cells(tables, "noise")["cell"])
    assert kept.tolist() == np.flatnonzero(~still).tolist()
    labels = [text.get_text() for text in drawn.stuck_map(tables).axes[0].get_legend().get_texts()]
    assert f"good: {np.count_nonzero(state == 'good')}" in labels


@pytest.mark.parametrize("state", ["stuck low", "dead bit line"])
def test_a_chip_of_which_no_cell_moves_has_its_page_and_says_so(chip, tmp_path, state):
    """As when the cable of the gates is loose."""
    dead = shutil.copytree(chip, tmp_path / "dead", ignore=shutil.ignore_patterns("*.html", "*.h5"))
    stuck = read_tables(chip).columns["stuck"]
    table(dead, "stuck", {**stuck, "state": [state] * len(stuck["state"])})
    write_characterised_page(dead, dead / "report.html")
    page = (dead / "report.html").read_text()
    assert f"0 of 128 cells are good (0.00 %); 128 {state}" in page
    assert page.count("No cell is left: all that were read are stuck or on dead lines.") == 3


def test_endurance_is_drawn_from_the_highest_and_lowest_of_each_cycle(chip, tmp_path):
    worn = tmp_path / "worn"
    worn.mkdir()
    shutil.copy(chip / "characterisation.json", worn)
    cycle = np.repeat(np.arange(12), 2)
    held = np.where(np.arange(24) % 2, 2e-6, 100e-6 - 1e-6 * cycle)  # SET fades by 1 uS a cycle, RESET does not
    kinds = np.tile(["SET", "RESET"], 12)
    rest = {name: np.zeros(24, int) for name in ("cell", "row", "col", "step", "voltage", "gate", "width", "initial")}
    table(worn, "pulses", {**rest, "cycle": cycle, "kind": kinds, "conductance": held})
    high, low = drawn.endurance(read_tables(worn)).axes[0].lines
    assert high.get_ydata() == pytest.approx(100.0 - np.arange(12))
    assert low.get_ydata() == pytest.approx(np.full(12, 2.0))
    write_characterised_page(worn, worn / "page.html")
    assert "Not measured: " not in (worn / "page.html").read_text()


def test_a_cell_that_keeps_ohms_law_is_flat_and_one_that_does_not_is_not(chip, tmp_path):
    bent = tmp_path / "bent"
    bent.mkdir()
    (bent / "characterisation.json").write_text(json.dumps(json.loads((chip / "characterisation.json").read_text())))
    volts = np.tile([0.05, 0.1, 0.2], 2)
    cell = np.repeat([0, 1], 3)
    current = np.where(cell == 0, 10e-6 * volts, 80e-6 * volts * (1 + volts))
    table(bent, "iv", {"cell": cell, "row": cell, "col": 0 * cell, "voltage": volts, "current": current})
    law, ohmic, other = sorted(drawn.current_voltage(read_tables(bent)).axes[1].lines, key=lambda line: line.zorder)[
        :3
    ]
    lines = [line.get_ydata() for line in (law, ohmic, other) if len(line.get_ydata()) == 3]
    assert lines[0] == pytest.approx([1, 1, 1])
    assert lines[1] == pytest.approx((1 + np.array([0.05, 0.1, 0.2])) / 1.2)


def test_its_pictures_become_files_for_a_paper(chip, tmp_path):
    files = characterised_figures(chip, tmp_path / "figures", "double", "svg")
    assert [path.name for path in files[:3]] == ["stuck-map.svg", "windows.svg", "pulse-response.svg"]
    assert "endurance" not in (tmp_path / "figures" / "captions.txt").read_text()
