"""Two runs side by side: changes that were made on purpose are the changes that are shown, and no others."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab import calibrate_columns, open_run, record
from imssa_lab.cli import app
from imssa_lab.contract.errors import DataError
from imssa_lab.report.comparison import compared_arrays, comparison_page
from twin import DigitalTwin

SHAPE = (6, 4)


def days(folder, change=None, profile="ideal", calibrate=False):
    """Two runs of one chip with `change` between them; reads alone, after the first programmed the cells."""
    chip = DigitalTwin(profile, SHAPE, seed=3)
    target = np.linspace(10e-6, 100e-6, chip.info.rows * chip.info.cols).reshape(SHAPE)
    with record(folder / "one.h5", [chip], {}) as (recorded,):
        recorded.program_conductances(target)
        if calibrate:
            calibrate_columns(recorded)
    if change is not None:
        change(chip)
    with record(folder / "two.h5", [chip], {}) as (recorded,):
        recorded.read_conductances()
        if calibrate:
            calibrate_columns(recorded)
    return folder / "one.h5", folder / "two.h5"


def compared(one, two):
    with open_run(one) as first, open_run(two) as second:
        (found,) = compared_arrays(first, second)
    return found


def test_what_changed_is_shown_cell_by_cell(tmp_path):
    def change(chip):
        chip.cells.conductance[2, 1] += 7e-6

    found = compared(*days(tmp_path, change))
    wanted = np.zeros(SHAPE)
    wanted[2, 1] = 7e-6
    np.testing.assert_allclose(found.change, wanted, atol=1e-12)
    facts = dict(found.facts())
    assert facts["cells with a last reading in both"] == "24 of 24"
    assert facts["chips"] == "twin:ideal (seed 3)"
    assert "not decidable" in facts["column gains, second over first"]
    assert "not decidable" in facts["stuck"]  # the second run programmed nothing


def test_stuck_cells_that_came_and_went_are_counted_among_those_programmed_in_both(tmp_path):
    paths = []
    for day, stuck in enumerate([(0, 1), (1, 2)]):
        chip = DigitalTwin("supert-a0-easy", SHAPE, seed=5)
        chip.cells.stuck = np.zeros(SHAPE, bool)
        chip.cells.stuck[0, stuck] = True
        chip.cells.conductance[chip.cells.stuck] = 2e-6
        paths.append(tmp_path / f"{day}.h5")
        with record(paths[-1], [chip], {}) as (recorded,):
            recorded.program_conductances(np.full(SHAPE, 60e-6))
    facts = dict(compared(*paths).facts())
    assert facts["stuck"] == "1 in both, 1 came, 1 went, of 24 programmed in both"


def test_null_control_a_run_against_itself_has_no_change(tmp_path):
    one, _ = days(tmp_path, profile="supert-a0", calibrate=True)
    found = compared(one, one)
    assert np.nanmax(np.abs(found.change)) == 0
    facts = dict(found.facts())
    assert facts["correlation of the two"] == "1.0000"
    assert facts["column gains, second over first"].startswith("mean 1.0000, sd 0.0000 of 4 columns")


def test_only_cells_read_in_both_count(tmp_path):
    one, _ = days(tmp_path)
    mask = np.zeros(SHAPE, bool)
    mask[1:3] = True
    with record(tmp_path / "part.h5", [DigitalTwin("ideal", SHAPE, seed=3)], {}) as (chip,):
        chip.read_conductances(mask)
    assert dict(compared(one, tmp_path / "part.h5").facts())["cells with a last reading in both"] == "8 of 24"


def test_other_shapes_are_refused(tmp_path):
    one, _ = days(tmp_path)
    with record(tmp_path / "wide.h5", [DigitalTwin("ideal", (6, 5), seed=3)], {}) as (chip,):
        chip.read_conductances()
    with pytest.raises(DataError, match="6 x 5"):
        compared(one, tmp_path / "wide.h5")


def test_the_command_prints_facts_and_writes_a_page(tmp_path):
    one, two = days(tmp_path)
    words = ["compare", str(one), str(two), "--file", str(tmp_path / "page.html")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "24 of 24" in done.output
    page = (tmp_path / "page.html").read_text()
    with open_run(one) as first, open_run(two) as second:
        assert page == comparison_page(first, second)
    assert "in tolerance by the last reading" in page
    asked = CliRunner().invoke(app, [*words[:3], "--json"])
    assert json.loads(asked.stdout)["arrays"][0]["facts"]["chips"] == "twin:ideal (seed 3)"
    assert CliRunner().invoke(app, words).exit_code == 1  # the page is there
