"""Characterisation against what the twin was given: faults, noise, response, I-V, relaxation, columns."""

import csv
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from imssa_lab.cli.arrays.characterise import characterise
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from protocols.characterisation.experiments import EXPERIMENTS, Schedule, dead_lines
from protocols.characterisation.protocol import Characterisation
from protocols.chip_record import ChipRecord
from protocols.wrappers.counted import Counted
from twin import DigitalTwin, TwinProfile
from twin.chip_faults import WeakCells
from twin.relaxation import LogTimeRelaxation

SHAPE = (16, 16)
SHORT = Schedule(levels=4, reads=20, reads_at_once=5, times=(1.0, 100.0), sample=4)


def healthy(**changes: object) -> TwinProfile:
    preset = TwinProfile.load("supert-a0-easy")
    noise = {"sd_median": 1e-6, "sd_spread": 0.0, "exponent": 0.0, "flicker": None, "telegraph": None}
    return preset.model_copy(
        update={
            "stuck": preset.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0}),
            "lines": None,
            "overdrive": None,
            "adc": None,
            "read_rate": None,
            "read_noise": preset.read_noise.model_copy(update=noise),
            **changes,
        }
    )


def table(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        assert file.readline().startswith("# ")
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def numbers(path: Path, name: str) -> FloatArray:
    return np.array(table(path)[name], dtype=np.float64)


def measured(twin: DigitalTwin, out: Path, name: str, schedule: Schedule = SHORT) -> Path:
    return Characterisation(twin, out, schedule=schedule, only=[name]).run()[name]


def test_the_stuck_map_names_what_is_wrong(tmp_path: Path) -> None:
    twin = DigitalTwin(healthy(weak=WeakCells(limited_fraction=0.05, limited_low=2e-6, limited_high=60e-6)), SHAPE, 1)
    expected = np.full(SHAPE, "good", dtype="<U14")
    expected[twin.cells.faults.limited] = "limited high"
    for value, name, cells in (
        (180e-6, "stuck high", [(2, 3), (9, 9)]),
        (1e-6, "stuck low", [(4, 4)]),
        (88e-6, "dead word line", [(12, col) for col in range(16)]),
        (1e-6, "dead bit line", [(row, 7) for row in range(16)]),
    ):
        mask = np.zeros(SHAPE, dtype=bool)
        mask[tuple(np.transpose(cells))] = True
        twin.cells.stick(mask, value)
        expected[mask] = name
    path = measured(twin, tmp_path / "c", "stuck")
    assert np.array_equal(np.array(table(path)["state"]).reshape(SHAPE), expected)
    low, high = (numbers(path, name).reshape(SHAPE) for name in ("low", "high"))
    good = expected == "good"
    assert (low[good] < 10e-6).mean() > 0.9
    assert (high[good] > 150e-6).all()


def test_a_dead_line_does_not_make_the_lines_that_cross_it_dead() -> None:
    still = np.zeros((10, 10), dtype=bool)
    still[3], still[:, 5], still[7, :8] = True, True, True
    words, bits = dead_lines(still)
    assert np.flatnonzero(words).tolist() == [3]
    assert np.flatnonzero(bits).tolist() == [5]
    words, bits = dead_lines(np.ones((10, 10), dtype=bool))
    assert words.all()
    assert bits.all()


def test_read_noise_is_what_the_cells_have(tmp_path: Path) -> None:
    path = measured(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "c", "noise")
    reads = numbers(path, "conductance").reshape(SHORT.reads, -1)
    assert reads.std(axis=0, ddof=1).mean() == pytest.approx(1e-6, rel=0.05)  # 256 cells: 1 % standard error
    time = numbers(path, "time").reshape(SHORT.reads, -1)[:, 0]
    assert (np.diff(time) > 0).all()
    assert numbers(path, "read").reshape(SHORT.reads, -1)[:, 0].tolist() == list(range(SHORT.reads))


def test_i_v_gives_the_conductances_back(tmp_path: Path) -> None:
    ohmic = DigitalTwin(healthy(columns=TwinProfile.load("ideal").columns), SHAPE, seed=1)
    ohmic.program_conductances(np.full(SHAPE, 80e-6))
    path = measured(ohmic, tmp_path / "c", "iv")
    voltage, current = (numbers(path, name).reshape(-1, *SHAPE) for name in ("voltage", "current"))
    slope = (voltage * current).sum(axis=0) / (voltage**2).sum(axis=0)
    assert np.abs(slope - ohmic.cells.conductance).max() < 5e-6
    assert voltage.max() == pytest.approx(0.2)
    assert (voltage.min() < 0) == ohmic.info.input_signed


def test_relaxation_is_that_of_the_law(tmp_path: Path) -> None:
    law = LogTimeRelaxation(
        kind="log-time",
        t0=1e-2,
        levels=(50e-6,),
        times=(1.0, 100.0),
        shift=((-4e-6,), (-8e-6,)),
        core=((0.0,), (0.0,)),
    )
    twin = DigitalTwin(healthy(relaxation=law), SHAPE, seed=1)
    long = SHORT.model_copy(update={"times": (1e2, 1e4)})  # far longer than programming takes
    path = measured(twin, tmp_path / "c", "relaxation", long)
    time, level = numbers(path, "time"), numbers(path, "level")
    change = numbers(path, "conductance") - numbers(path, "initial")
    high = level == SHORT.levels - 1
    times = np.unique(time)
    assert times[0] == 0
    assert times[1:] == pytest.approx([1e2, 1e4], rel=0.01)
    moved = change[(time == times[2]) & high].mean() - change[(time == times[1]) & high].mean()
    assert moved == pytest.approx(-4e-6, abs=0.3e-6)  # two decades of the law's slope
    still = DigitalTwin(healthy(), SHAPE, seed=1)
    path = measured(still, tmp_path / "null", "relaxation")
    change = numbers(path, "conductance") - numbers(path, "initial")
    assert abs(change[numbers(path, "time") > 0].mean()) < 0.2e-6  # null control


def test_pulse_response_rises_with_the_gate_and_falls_with_reset(tmp_path: Path) -> None:
    path = measured(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "c", "pulses")
    kind, after = np.array(table(path)["kind"]), numbers(path, "conductance")
    gate, voltage = numbers(path, "gate"), numbers(path, "voltage")
    set_ = kind == "SET"
    rising = [np.median(after[set_ & (gate == value)]) for value in np.unique(gate[set_])]
    falling = [np.median(after[~set_ & (voltage == value)]) for value in np.unique(voltage[~set_])]
    assert np.diff(rising).min() > -2e-6
    assert rising[-1] - rising[0] == pytest.approx(370e-6 * np.ptp(gate[set_]), rel=0.1)  # slope times volts of gate
    assert falling[-1] < 0.2 * falling[0]


def test_columns_are_measured_and_the_array_keeps_its_calibration(tmp_path: Path) -> None:
    twin = DigitalTwin(healthy(), SHAPE, seed=1)
    work = Characterisation(twin, tmp_path / "c", schedule=SHORT, only=["programming", "columns"])
    path = work.run()["columns"]
    assert numbers(path, "gain") == pytest.approx(1 / twin.columns.gain, rel=0.06)
    assert twin.calibration is None


def test_the_plan_comes_true_and_pulses_nothing(tmp_path: Path) -> None:
    """Within a third, experiment by experiment, write-verify aside: how long that takes is the cells' to say."""
    twin = DigitalTwin(healthy(), SHAPE, seed=1)
    before = twin.cells.conductance.copy()
    plan = Characterisation(twin, tmp_path / "c", schedule=SHORT).plan()
    assert np.array_equal(twin.cells.conductance, before)
    assert not (tmp_path / "c").exists()
    assert list(plan.seconds) == list(EXPERIMENTS)
    assert "relaxation: about" in str(plan)
    assert "will be lost" in str(plan)
    for name in EXPERIMENTS:
        started = twin.time
        measured(twin, tmp_path / "c", name)
        if name != "programming":
            assert twin.time - started == pytest.approx(plan.seconds[name], rel=0.34), name
    rest = Characterisation(twin, tmp_path / "c", schedule=SHORT).plan()
    assert rest.total == 0.0
    assert rest.pulsing == []


def test_a_stopped_run_goes_on_without_doing_anything_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "whole", "noise")
    twin = DigitalTwin(healthy(), SHAPE, seed=1)
    read, calls = twin._read_conductances, []

    def stopping(mask: np.ndarray, averages: int) -> object:  # type: ignore[type-arg]
        calls.append(averages)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return read(mask, averages)

    monkeypatch.setattr(twin, "_read_conductances", stopping)
    with pytest.raises(KeyboardInterrupt):
        measured(twin, tmp_path / "c", "noise")
    assert not (tmp_path / "c" / "noise.csv").exists()
    path = measured(twin, tmp_path / "c", "noise")
    assert len(calls) == 7 + 1 + 15  # five reads of the first part are kept; two of the second and the stop are not
    assert numbers(path, "read").tolist() == numbers(whole, "read").tolist()
    measured(twin, tmp_path / "c", "noise")
    assert len(calls) == 23


def test_another_chip_or_other_settings_are_refused(tmp_path: Path) -> None:
    measured(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "c", "iv")
    with pytest.raises(ConfigError, match="another chip"):
        Characterisation(DigitalTwin(healthy(), SHAPE, seed=2), tmp_path / "c", schedule=SHORT)
    with pytest.raises(ConfigError, match="another schedule"):
        Characterisation(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "c", schedule=Schedule())
    with pytest.raises(ConfigError, match="there are stuck, pulses"):
        Characterisation(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "d", only=["nois"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Characterisation(DigitalTwin(healthy(), SHAPE, seed=1), tmp_path / "file" / "c", only=["iv"]).run()


def test_faults_and_pulses_go_into_the_chip_record(tmp_path: Path) -> None:
    twin = DigitalTwin(healthy(), SHAPE, seed=1)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3, 4] = True
    twin.cells.stick(mask, 180e-6)
    with ChipRecord(tmp_path / "chips.sqlite") as record:
        array = Counted(twin, record)
        Characterisation(array, tmp_path / "c", schedule=SHORT, only=["stuck"]).run()
        assert [(f.row, f.col, f.fault) for f in record.faults(array.chip)] == [(3, 4, "stuck high")]
        assert (record.wear(array.chip).pulses == 2 * SHORT.cycles).all()
        assert record.known_cells(array.info).surveyed


def test_the_tables_are_read_by_a_fit_as_they_are(tmp_path: Path) -> None:
    tables = pytest.importorskip("twin.fitting.tables.measured_tables")
    pytest.importorskip("pandas")
    twin = DigitalTwin(healthy(), SHAPE, seed=1)
    for name, roles in (
        ("relaxation", {"cell", "time", "initial", "target", "conductance", "level"}),
        ("noise", {"cell", "time", "read", "conductance"}),
        ("iv", {"cell", "voltage", "current"}),
    ):
        path = measured(twin, tmp_path / "c", name)
        read = tables.read_table(path, tables.Reading())
        assert set(read.columns) == roles
        assert read.size == len(table(path)["cell"])


def test_the_command_says_how_long_and_then_does_it(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(characterise)
    address, out = "twin:supert-a0-easy?seed=1&shape=8x8", tmp_path / "c"
    asked = [
        "--array",
        address,
        "--out",
        str(out),
        "--only",
        "stuck,iv",
        "--chip-record",
        str(tmp_path / "chips.sqlite"),
    ]
    told = CliRunner().invoke(app, [*asked, "--dry-run"])
    assert told.exit_code == 0
    assert "stuck: about" in told.stdout
    assert not out.exists()
    assert not (tmp_path / "chips.sqlite").exists()
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0
    assert str(out / "iv.csv") in done.stdout
    assert (out / "stuck.csv").is_file()
    assert CliRunner().invoke(app, ["--array", address, "--out", str(out), "--only", ","]).exit_code == 1
