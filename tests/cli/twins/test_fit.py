"""`imssa fit` from a table to a profile that a twin runs on."""

import json
import math

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from imssa_lab.cli.twins.fit import fit
from imssa_lab.contract.errors import ConfigError, DataError
from tests.cli.one_value import one_value
from tests.twin.fitting.conftest import relaxed
from twin import DigitalTwin, TwinProfile

app = typer.Typer()
app.command()(fit)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def write_csv(path, data, **factors):
    """The columns of `data`, each times its factor where one is given."""
    names = list(data.columns)
    rows = np.stack([data[name] * factors.get(name, 1.0) for name in names], axis=1)
    np.savetxt(path, rows, delimiter=",", header=",".join(names), comments="", fmt="%.10g")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """(folder, what was printed, the JSON of it) of a fit to 2,000 cells in microsiemens."""
    folder = tmp_path_factory.mktemp("fit")
    write_csv(folder / "relax.csv", relaxed(2000), initial=1e6, conductance=1e6)
    result = run(
        folder / "relax.csv",
        "--unit",
        "initial=uS",
        "--unit",
        "conductance=uS",
        "--out",
        folder / "chip",
        "--seed",
        1,
        "--json",
    )
    assert result.exit_code == 0, result.output
    return folder, result.stderr, result.stdout


def test_it_writes_profile_page_and_numbers(fitted):
    folder, said, _ = fitted
    assert sorted(path.name for path in (folder / "chip").iterdir()) == ["profile.toml", "report.html", "report.json"]
    assert "not determined" in said
    told = json.loads((folder / "chip" / "report.json").read_text())
    assert told["chosen_model"] == "tailed"
    assert told["levels_passed"] >= 0.9
    assert 0.88 <= told["coverage"] <= 0.92
    assert {"ks", "ks_p", "anderson", "coverage", "cells"} <= set(told["groups"][0])
    page = (folder / "chip" / "report.html").read_text()
    assert "The law holds." in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert 'src="data:' in page


def test_json_is_the_report_and_its_files(fitted):
    folder, said, printed = fitted
    told = one_value(printed)
    files = told.pop("files")
    assert told == json.loads((folder / "chip" / "report.json").read_text())
    assert files["profile"] == str(folder / "chip" / "profile.toml")
    (levels, *_) = told["verdicts"]
    assert levels["measured"] in said


def test_a_twin_of_the_profile_relaxes_like_the_cells_that_were_not_fitted(fitted):
    folder, _, _ = fitted
    data = relaxed(4096, seed=77)  # new cells of the same kind
    start = data["initial"][:4096].reshape(64, 64)
    chip = DigitalTwin(TwinProfile.load(folder / "chip" / "profile.toml"), (64, 64), seed=5)
    chip.program_conductances(start)
    began = chip.time
    for time in (0.1, 10.0):
        chip.wait(max(0.0, time - (chip.time - began)) if time > 1 else time)
        moved = (chip.cells.conductance - start).ravel()
        measured = data["conductance"][data["time"] == time] - start.ravel()
        if time == 10.0:
            assert stats.ks_2samp(moved, measured).statistic < 0.04
            assert stats.ks_2samp(moved, measured + 0.3e-6).statistic > 0.1  # null control: a shift would be found


def test_wrong_use_is_told_before_anything_is_written(tmp_path):
    write_csv(tmp_path / "a.csv", relaxed(100))
    for wrong, error, says in (
        (("--column", "conductance"), ConfigError, "write ROLE=VALUE"),
        (("--keep", "initial=5"), ConfigError, "LOW:HIGH"),
        (("--base", "nonesuch"), ConfigError, "no such preset"),
        (("--unit", "conductance=uS", "--quantity", "stuck"), DataError, "no column for 'bit'"),
    ):
        result = run(tmp_path / "a.csv", "--out", tmp_path / "out", *wrong)
        assert isinstance(result.exception, error)
        assert says in str(result.exception)
        assert not (tmp_path / "out" / "profile.toml").exists()


def test_siemens_taken_for_microsiemens_do_not_pass(tmp_path):
    write_csv(tmp_path / "a.csv", relaxed(100), initial=1e6, conductance=1e6)
    result = run(tmp_path / "a.csv", "--out", tmp_path / "out")
    assert isinstance(result.exception, DataError)
    assert "--unit" in str(result.exception)


def test_a_recorded_run_is_data_too(tmp_path):
    from imssa_lab.log import record

    chip = DigitalTwin("ideal", (16, 16), seed=2)
    rng = np.random.default_rng(0)
    with record(tmp_path / "run.h5", [chip], {}) as (array,):
        array.program_conductances(rng.uniform(5e-6, 100e-6, (16, 16)))
        array.read_conductances()
        array.read_mvm(rng.uniform(-0.2, 0.2, (64, 16)))
    result = run(tmp_path / "run.h5", "--quantity", "columns", "--out", tmp_path / "columns")
    assert result.exit_code == 0, result.exception
    section = TwinProfile.load(tmp_path / "columns" / "profile.toml").columns
    assert section.gain == pytest.approx(1.0, abs=1e-6)
    assert math.isclose(section.offset_spread, 0.0, abs_tol=1e-9)


def test_a_law_that_does_not_hold_is_exit_code_3_with_all_files(tmp_path):
    """Errors in two clumps, which no law of ours has; null control: `fitted`, whose law holds, ends with 0."""
    rng = np.random.default_rng(0)
    target = np.tile(np.linspace(40.0, 90.0, 8), 150)
    error = 12.0 * rng.choice([-1.0, 1.0], target.size) + rng.normal(0.0, 0.3, target.size)
    lines = [f"{cell},{t},{t + e}" for cell, (t, e) in enumerate(zip(target, error, strict=True))]
    (tmp_path / "a.csv").write_text("cell,target,conductance\n" + "\n".join(lines) + "\n")
    units = ("--unit", "target=uS", "--unit", "conductance=uS")
    result = run(tmp_path / "a.csv", "--quantity", "programming", *units, "--out", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert "FAILED" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "profile.toml",
        "report.html",
        "report.json",
    ]
