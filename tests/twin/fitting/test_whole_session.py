"""A characterisation becomes one profile: every table is read, on a chip of other physics than the twin's."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from imssa_lab.cli.twins.fit import fit
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.log import open_run, record
from protocols.characterisation.experiments import Schedule
from protocols.characterisation.protocol import Characterisation
from protocols.programmers import recipe_of
from trials.metal_oxide_chip import MetalOxideChip, metal_oxide_kind
from twin import DigitalTwin, TwinProfile
from twin.fitting.comparison import compare_twin
from twin.fitting.session.session_tables import read_session_table, table_kind
from twin.fitting.session.simulated_sweeps import SingleReads, Sweeps, felt_of
from twin.fitting.session.window_map import fit_window_map

SIDE = 16
SCHEDULE = Schedule(reads=40, times=(1.0, 10.0, 100.0), averages=4, sample=2)
app = typer.Typer()
app.command()(fit)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(part) for part in arguments])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session") / "chip1"
    folder.mkdir()
    with record(folder / "run.h5", [MetalOxideChip(shape=(SIDE, SIDE), seed=3, stuck=0.04)], {}) as (array,):
        Characterisation(array, folder, schedule=SCHEDULE).run()
    return folder


@pytest.fixture(scope="module")
def fitted(session: Path) -> tuple[Path, Result]:
    out = session.parent / "profile"
    return out, run(session, "--out", out, "--name", "chip1")


def test_one_command_makes_one_profile_of_every_table(fitted: tuple[Path, Result], session: Path) -> None:
    out, said = fitted
    assert said.exit_code in (0, 3), said.output
    profile = TwinProfile.load(str(out / "profile.toml"))
    chip = MetalOxideChip(shape=(SIDE, SIDE), seed=3, stuck=0.04)
    base = TwinProfile.load("ideal")
    for name in ("measured_pulses", "stuck", "relaxation", "programming", "read_noise", "nonlinearity", "columns"):
        assert getattr(profile, name) != getattr(base, name), name
    for name in ("limits", "window", "read_voltage", "timing", "adc", "inputs"):
        assert getattr(profile, name) == getattr(chip.profile, name), name
    assert profile.recipe.tolerance_out == recipe_of(chip).tolerance_out
    told = json.loads((out / "report.json").read_text())
    assert told["quantity"] == "session: noise, stuck, pulses, relaxation, programming, iv, columns"


def test_its_numbers_are_those_of_the_chip(fitted: tuple[Path, Result]) -> None:
    profile = TwinProfile.load(str(fitted[0] / "profile.toml"))
    chip = MetalOxideChip(shape=(SIDE, SIDE), seed=3, stuck=0.04)
    assert profile.stuck.on_fraction + profile.stuck.off_fraction == pytest.approx(chip.cells.stuck.mean(), abs=0.012)
    assert profile.columns.gain == pytest.approx(chip.columns.gain.mean(), rel=0.1)
    truth = chip.profile.read_noise
    at = profile.read_noise.sd_median * (50e-6 / profile.read_noise.reference) ** profile.read_noise.exponent
    assert at == pytest.approx(truth.sd_median * (50e-6 / truth.reference) ** truth.exponent, rel=0.25)


def swept(array: DigitalTwin, kind: PulseKind) -> np.ndarray:
    """Conductances after each pulse of a whole ladder, (steps, cells), from the other end of the window."""
    recipe, every = recipe_of(MetalOxideChip(shape=(2, 2))), np.ones((SIDE, SIDE), dtype=bool)
    other = PulseKind.RESET if kind is PulseKind.SET else PulseKind.SET
    ladders = {each: recipe.ladder(each) for each in (kind, other)}
    for _ in range(2):
        start = ladders[other]
        array.apply_pulses(Pulses.on(every, other, start.voltage.max(), start.gate.max(), start.width))
    steps = ladders[kind]
    seen = []
    for strength in np.unique(steps.gate if kind is PulseKind.SET else steps.voltage)[::4]:
        voltage, gate = (steps.voltage.max(), strength) if kind is PulseKind.SET else (strength, steps.gate.max())
        array.apply_pulses(Pulses.on(every, kind, float(voltage), float(gate), steps.width))
        seen.append(array.cells.conductance[~array.cells.stuck])
    return np.stack(seen)


@pytest.mark.parametrize("kind", [PulseKind.SET, PulseKind.RESET])
def test_pulses_on_its_twin_leave_what_they_leave_on_the_chip(fitted: tuple[Path, Result], kind: PulseKind) -> None:
    profile = TwinProfile.load(str(fitted[0] / "profile.toml"))
    with MetalOxideChip(shape=(SIDE, SIDE), seed=5) as chip, DigitalTwin(profile, (SIDE, SIDE), seed=6) as twin:
        measured, drawn = (np.quantile(swept(array, kind), [0.1, 0.5, 0.9], axis=1) for array in (chip, twin))
    sure = measured > 10e-6  # below, the noise of the readings decides
    assert np.abs(np.log(drawn / measured))[sure].max() < 0.35
    # of six chips and twins of the RESETs: 0.072 to 0.091, as 245 cells of each have it
    assert np.median(np.abs(np.log(drawn / measured))[sure]) < 0.1


@pytest.mark.parametrize("name", ["stuck", "columns"])  # pulses are below, the others have tests of their own
def test_every_table_is_read_by_itself(session: Path, tmp_path: Path, name: str) -> None:
    done = run(session / f"{name}.csv", "--out", tmp_path / "out")
    assert done.exit_code in (0, 3), done.output
    assert (tmp_path / "out" / "profile.toml").exists()


def test_more_noise_in_the_pulses_is_more_jitter(session: Path, fitted: tuple[Path, Result]) -> None:
    """Null control: the tables follow the chip."""
    from twin.fitting.session.pulse_tables import fit_pulse_tables

    profile = TwinProfile.load(str(fitted[0] / "profile.toml"))
    usual, reads = profile.measured_pulses, SingleReads(profile.read_noise, profile.read_voltage, profile.adc)
    assert usual is not None
    table = dict(read_session_table(session / "pulses.csv", "pulses"))
    g, cycle = np.asarray(table["conductance"], dtype=float), np.asarray(table["cycle"])
    middle = 0.5 * (g[cycle == 0] + g[cycle == 1])
    table["conductance"] = np.concatenate([middle + 2.0 * (g[cycle == c] - middle) for c in (0, 1)])
    noisier = fit_pulse_tables(table, None, reads, np.random.default_rng(0)).sections["measured_pulses"]
    assert 1.6 < noisier["set"]["jitter"] / usual.set.jitter < 3.5


def test_a_second_session_agrees_and_more_read_noise_does_not(
    fitted: tuple[Path, Result], session: Path, tmp_path: Path
) -> None:
    profile = TwinProfile.load(str(fitted[0] / "profile.toml"))
    assert profile.fitted_to is not None
    assert (profile.fitted_to.columns, profile.fitted_to.nonlinearity) == (SIDE, SIDE)
    alive = int((~MetalOxideChip(shape=(SIDE, SIDE), seed=3, stuck=0.04).cells.stuck).sum())
    assert abs((profile.fitted_to.relaxation or 0) - alive) <= 4  # noise and relaxation are corrected by all cells
    found = {}
    for name, kind in (("again", None), ("noisier", metal_oxide_kind(read_noise={"sd_median": 1.6e-6}))):
        path = tmp_path / f"{name}.h5"
        chip = MetalOxideChip(kind, shape=(SIDE, SIDE), seed=3, stuck=0.04)
        with record(path, [chip], {}) as (array,):
            Characterisation(array, tmp_path / name, schedule=SCHEDULE).run()
        with open_run(path) as log:
            found[name] = compare_twin(log, profile, (0, 1))
    assert found["again"].apart == []
    assert {one.aspect for one in found["again"].statistics} >= {"read noise", "change with time", "pulse response"}
    assert "read sd per cell" in {one.name for one in found["noisier"].apart}


def test_what_the_fit_misses_of_its_session_is_in_the_profile_and_in_the_report(
    fitted: tuple[Path, Result],
) -> None:
    """By statistic, read back from a file whose keys have blanks; said in the report if it is worth saying."""
    profile = TwinProfile.load(str(fitted[0] / "profile.toml"))
    assert profile.fitted_to is not None
    told = json.loads((fitted[0] / "report.json").read_text())["facts"]["twins against this session"]
    assert "KS distance beyond chance" in told
    for name, value in profile.fitted_to.misfit.items():
        assert 0.0 < value < 1.0
        assert (f"{name} {value:.2f}" in told) == (value >= 0.05)


def test_without_a_run_file_the_report_says_that_no_misfit_is_known(session: Path, tmp_path: Path) -> None:
    for name in ("characterisation.json", "columns.csv"):
        shutil.copy(session / name, tmp_path / name)
    run(tmp_path, "--out", tmp_path / "profile", "--name", "chip1")
    told = json.loads((tmp_path / "profile" / "report.json").read_text())["facts"]["twins against this session"]
    assert told.startswith("not compared, so that `imssa twin-check` allows for no misfit: ")
    assert "run.h5" in told


@pytest.mark.parametrize("state", ["stuck low", "dead bit line"])
def test_a_chip_of_which_no_cell_moves_is_fitted_as_far_as_it_says_anything(
    session: Path, tmp_path: Path, state: str
) -> None:
    dead = shutil.copytree(session, tmp_path / "dead", ignore=shutil.ignore_patterns("*.html", "*.h5", "parts"))
    units, header, *rows = (dead / "stuck.csv").read_text().splitlines()
    place = header.split(",").index("state")
    spoilt = [",".join([*(parts := row.split(","))[:place], state, *parts[place + 1 :]]) for row in rows]
    (dead / "stuck.csv").write_text("\n".join([units, header, *spoilt, ""]))
    said = run(dead, "--out", tmp_path / "profile")
    assert said.exit_code in (0, 3), said.output
    left_out = " ".join(json.loads((tmp_path / "profile" / "report.json").read_text())["undetermined"])
    for name in ("noise", "relaxation", "programming", "iv"):
        assert re.search(rf"{name}: [^:]*: all cells in it are stuck or on dead lines", left_out), name
    everything = TwinProfile.load(str(tmp_path / "profile" / "profile.toml")).stuck
    if state == "stuck low":
        assert everything.off_fraction == 1.0
    else:
        assert f"all {SIDE * SIDE} cells are on dead lines" in left_out


def test_jitter_is_known_well_from_one_session() -> None:
    """Sweeps of 200 cells that feel 12 mV: what is seen of it varies by less than 3 % from session to session."""
    strengths = np.linspace(0.5, 1.4, 19)
    seen = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        own = np.exp(0.2 * rng.standard_normal(200))
        felt = strengths[:, None, None] + 0.012 * rng.standard_normal((19, 2, 200))
        sweeps = Sweeps(strengths, 150e-6 * own * (1 + np.tanh(3.0 * (felt - 1.0))) / 2 + 2e-6)
        seen.append(felt_of(sweeps))
    assert np.mean(seen) == pytest.approx(0.012, rel=0.1)
    assert np.std(seen) / np.mean(seen) < 0.03


def test_scatter_that_the_readings_explain_is_no_scatter_of_the_cells(
    session: Path, fitted: tuple[Path, Result]
) -> None:
    """RESETs beyond the bottom of the window leave cells alone, whose readings scatter by their noise."""
    profile = TwinProfile.load(str(fitted[0] / "profile.toml"))
    assert profile.measured_pulses is not None
    law = profile.measured_pulses.reset
    bottom = np.array(law.strengths) > 2.0
    assert max(np.array(law.cycle_spread)[bottom]) < 0.01


def test_dead_lines_and_where_cells_stick_are_counted_apart() -> None:
    row, col = (index.ravel() for index in np.indices((10, 10)))
    state = np.full(100, "good", dtype="<U14")
    state[row == 2] = "dead word line"
    state[(row == 4) & (col < 3)] = "stuck high"
    state[(row == 5) & (col < 1)] = "stuck low"
    low = np.where(np.char.startswith(state, "stuck high"), 200e-6, 2e-6)
    high = np.where(state == "good", 150e-6, low)
    outcome = fit_window_map(
        {"cell": row * 10 + col, "row": row, "col": col, "state": state, "low": low, "high": high}
    )
    assert outcome.sections["stuck"]["on_fraction"] == pytest.approx(3 / 90)
    assert outcome.sections["stuck"]["off_fraction"] == pytest.approx(1 / 90)
    assert outcome.sections["stuck"]["on_conductance"] == pytest.approx(200e-6)
    assert outcome.sections["lines"]["word_fraction"] == pytest.approx(0.1)
    assert outcome.sections["lines"]["bit_fraction"] == 0.0


def test_what_is_no_session_and_what_is_damaged_is_named(session: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = run(tmp_path / "empty", "--out", tmp_path / "out")
    assert isinstance(refused.exception, ConfigError)
    assert "is no folder of a characterisation" in str(refused.exception)
    refused = run(session, "--quantity", "stuck", "--out", tmp_path / "out")
    assert isinstance(refused.exception, ConfigError)
    assert "a session is fitted whole" in str(refused.exception)
    text = (session / "stuck.csv").read_text().splitlines()
    (tmp_path / "stuck.csv").write_text("\n".join([*text[:5], text[5] + ",1"]))
    assert table_kind(tmp_path / "stuck.csv") == "stuck"
    with pytest.raises(DataError, match="fields in row 5, 6 in the header"):
        read_session_table(tmp_path / "stuck.csv", "stuck")
