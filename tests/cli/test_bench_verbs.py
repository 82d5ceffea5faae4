"""calibrate, program and --dry-run, on the twin and on a virtual board behind its driver."""

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from drivers.supert_a0.supert_array import SuperTArray
from imssa_lab.cli import app
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import open_run
from imssa_lab.station.calibration_file import CalibrationFile
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Journal
from imssa_lab.virtual.server import PtyPort, TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.chip_record import ChipRecord
from protocols.deployment.sequences import Sequences
from protocols.programmers import WriteVerify
from trials import tiny
from twin import DigitalTwin, TwinProfile
from twin.cells import Cells

SHAPE = (8, 8)
TWIN = "twin:supert-a0-easy?seed=1&shape=8x8"


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with targets."""
    monkeypatch.chdir(tmp_path)
    np.save("targets.npy", np.random.default_rng(0).uniform(5e-6, 140e-6, SHAPE))
    return tmp_path


@pytest.fixture(params=["twin", "board"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A twin, and a board behind its serial driver."""
    if request.param == "twin":
        yield TWIN
        return
    with PtyPort(SuperTBoard(TwinProfile.load("supert-a0-easy"), seed=3)) as port:
        yield f"serial+supert-a0:{port.port}?array=0&block=8x8"


@pytest.fixture(params=["board", "tester"])
def watched(request: pytest.FixtureRequest) -> Iterator[tuple[str, Journal]]:
    """Virtual instruments, and what their electrodes saw."""
    if request.param == "board":
        board = SuperTBoard(TwinProfile.load("supert-a0-easy"), seed=3)
        with PtyPort(board) as port:
            yield f"serial+supert-a0:{port.port}?array={{index}}&block=16x24", board.journal
        return
    bench = BenchTwin("supert-a0-easy", (16, 24), seed=5)
    with TcpPort(ScpiArrayTester(bench)) as port:
        yield f"visa+scpi:{port.resource}", bench.journal


def cells(folder: Path) -> list[dict[str, str]]:
    with (folder / "cells.csv").open(encoding="utf-8", newline="") as file:
        assert file.readline() == "# target in S, conductance in S\n"
        return list(csv.DictReader(file))


def test_dry_runs_reach_no_electrode_and_leave_no_file(watched: tuple[str, Journal], here: Path) -> None:
    template, journal = watched
    one = template.replace("{index}", "0")
    tiny.bundle().save(here / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(here / "sequences.npz")
    np.save("wide.npy", np.full((16, 24), 50e-6))
    before = sorted(here.iterdir())
    verbs = {
        "program": ["wide.npy", "--array", one, "--out", "night", "--chip-record", "chips.sqlite"],
        "calibrate": ["--array", one, "--file", "c.json"],
        "characterise": ["--array", one, "--out", "tables"],
        "deploy": ["bundle.safetensors", "--sequences", "sequences.npz", "--array", template, "--out", "night"],
    }
    for verb, words in verbs.items():
        told = imssa(verb, *words, "--dry-run")
        assert told.exit_code == 0, told.output
        for line in ("nothing was driven", "cells that get pulses", "readings of cells", "device time"):
            assert line in told.stdout
        assert ("RESET, at most" in told.stdout) == (verb != "calibrate")
    assert journal.entries == []
    assert sorted(here.iterdir()) == before
    assert imssa("calibrate", *verbs["calibrate"]).exit_code == 0  # null control: without the option it is driven
    assert {entry.what for entry in journal.entries} >= {"cells", "mvm", "ground"}


def test_replays_of_a_characterisation_give_the_same_tables(here: Path) -> None:
    """Its relaxation and programming run programmers of their own, with the recipe that the log names."""
    names = ("relaxation", "programming", "iv")
    address = "twin:supert-a0?seed=3&shape=4x4"
    for out in ("one", "two", "three"):
        done = imssa("characterise", "--array", address, "--out", out, "--only", ",".join(names))
        assert done.exit_code == 0, done.output
        address = f"replay:{out}/run.h5"
    for name in names:
        first, *others = ((here / out / f"{name}.csv").read_bytes() for out in ("one", "two", "three"))
        assert others == [first, first]


def test_an_array_without_a_recipe_is_characterised_by_one_that_is_given_whole(here: Path) -> None:
    words = ["characterise", "--array", "twin:ideal?shape=4x4", "--out", "chip", "--only", "stuck,programming"]
    recipe = WriteVerify.model_validate(TwinProfile.load("supert-a0-easy").recipe.model_dump())
    given = [
        f"{name}={json.dumps(value)}"
        for name, value in recipe.model_dump(mode="json").items()
        if WriteVerify.model_fields[name].is_required()
    ]
    done = imssa(*words, "--recipe", given[0])
    assert done.exit_code == 1
    missing = done.stderr.partition("missing: ")[2]
    assert missing.split() == [f"{text.partition('=')[0]}," for text in given[1:-1]] + [given[-1].partition("=")[0]]
    assert not (here / "chip").exists()
    done = imssa(*words, *(word for text in given for word in ("--recipe", text)))
    assert done.exit_code == 0, done.output
    assert (
        json.loads((here / "chip" / "characterisation.json").read_text())["recipe"]["set_width"] == recipe.set_width
    )


def test_a_characterisation_whose_page_could_not_be_written_gets_it_from_the_same_command(here: Path) -> None:
    words = ["characterise", "--array", TWIN, "--out", "chip", "--only", "iv"]
    assert imssa(*words).exit_code == 0
    (here / "chip" / "report.html").unlink()
    runs = sorted((here / "chip").glob("run*.h5"))
    done = imssa(*words)
    assert done.exit_code == 0, done.output
    assert (here / "chip" / "report.html").is_file()
    assert sorted((here / "chip").glob("run*.h5")) == runs  # nothing was driven again


def test_a_calibration_is_measured_written_and_logged(address: str, here: Path) -> None:
    done = imssa("calibrate", "--array", address, "--file", "c.json", "--temperature", 25)
    assert done.exit_code == 0, done.output
    found = CalibrationFile.load(here / "c.json")
    assert len(found.gain) == 8
    assert found.temperature == pytest.approx(298.15)
    assert np.square(found.after).sum() < 0.5 * np.square(found.before).sum()
    assert f"{1e6 * found.before[3]:.3f}" in done.stdout
    with open_run(here / found.log) as run:
        assert run.closed_cleanly
        assert run.provenance["array"] == address
        kept = run.column("calibrations", "gain", 1)
    np.testing.assert_array_equal(kept, found.gain)
    again = imssa("calibrate", "--array", address, "--file", "c.json")
    assert again.exit_code == 1
    assert "nothing was overwritten" in again.stderr


def test_a_calibration_needs_a_file(here: Path) -> None:
    done = imssa("calibrate", "--array", TWIN)
    assert done.exit_code == 1
    assert "write --file FILE" in done.stderr
    nowhere = imssa("calibrate", "--array", TWIN, "--file", "nowhere/c.json")
    assert nowhere.exit_code == 1
    assert "there is no folder nowhere" in nowhere.stderr
    assert not list(here.glob("*.h5"))


def test_targets_are_programmed_and_judged_by_the_re_read(address: str, here: Path) -> None:
    done = imssa("program", "targets.npy", "--array", address, "--out", "night", "--chip-record", "chips.sqlite")
    rows = cells(here / "night")
    targets = np.load("targets.npy")
    assert len(rows) == 64
    outside = [abs(float(row["conductance"]) - float(row["target"])) > 10e-6 for row in rows]
    assert [row["in_tolerance"] == "False" for row in rows] == outside
    assert done.exit_code == (3 if any(outside) else 0), done.output
    np.testing.assert_allclose([float(row["target"]) for row in rows], targets.ravel(), rtol=1e-8)
    with open_run(here / "night" / "run.h5") as run:
        np.testing.assert_array_equal(run.column("program", "target", 0), targets)
        sent = run.column("program", "pulses", 0).sum()
    with ChipRecord(here / "chips.sqlite") as chips:
        assert chips.wear(*chips.chips()).pulses.sum() == sent
    assert "Programmed" in (here / "night" / "report.html").read_text()


def test_programming_replays_with_a_report_of_its_own(here: Path) -> None:
    """The replayed run holds the outcome of the chip's own recipe, not its pulses; the page shows what there is."""
    first = imssa("program", "targets.npy", "--array", TWIN, "--out", "night")
    again = imssa("program", "targets.npy", "--array", "replay:night/run.h5", "--out", "replayed")
    assert again.exit_code == first.exit_code, again.output
    assert cells(here / "replayed") == cells(here / "night")
    assert "most pulses" in (here / "night" / "report.html").read_text()
    page = (here / "replayed" / "report.html").read_text()
    assert "Programmed" in page
    assert "most pulses" not in page


def test_cells_that_do_not_move_are_listed_whatever_the_loop_says(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = WriteVerify._outcome

    def lying(self: WriteVerify, *given: object) -> object:
        return np.minimum(ends(self, *given), 1).astype(np.uint8)  # type: ignore[arg-type]

    monkeypatch.setattr(WriteVerify, "_outcome", lying)
    monkeypatch.setattr(Cells, "apply", lambda self, pulses: None)
    done = imssa("program", "targets.npy", "--array", TWIN, "--out", "night", "--recipe", "max_steps=3")
    assert done.exit_code == 3
    assert "NOT all cells in tolerance" in done.stdout
    outside = [row for row in cells(here / "night") if row["in_tolerance"] == "False"]
    assert len(outside) > 50
    assert {row["outcome"] for row in outside} == {"reached"}
    assert f"{len(outside)}, of which the loop believed {len(outside)} in" in done.stdout


def test_ctrl_c_finishes_the_pulse_makes_safe_and_leaves_a_report(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = SuperTBoard(TwinProfile.load("supert-a0-easy"), seed=3)
    sent, left = SuperTArray._apply_pulses, iter(range(5))

    def interrupted(self: SuperTArray, pulses: Pulses) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        sent(self, pulses)

    monkeypatch.setattr(SuperTArray, "_apply_pulses", interrupted)
    with PtyPort(board) as port:
        address = f"serial+supert-a0:{port.port}?array=0&block=8x8"
        done = imssa("program", "targets.npy", "--array", address, "--out", "night")
        assert board.journal.grounded
    assert done.exit_code == 130, done.output
    assert "stopped by Ctrl-C" in done.stderr
    assert "report so far: night/report.html" in done.stderr
    assert "Not finished" in (here / "night" / "report.html").read_text()
    with open_run(here / "night" / "run.h5") as run:
        assert run.column("pulses", "done").tolist() == [1] * 6  # the one under way as well
        assert run.events("error")[0][1].startswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recipe", "tolerence_out=8e-6"], "unknown key 'tolerence_out'; did you mean 'tolerance_out'"),
        (["--recipe", "tolerance_out"], "write KEY=VALUE"),
        (["--recipe", "tolerance_out=wide"], "no value of TOML"),
        (["--recipe", "max_steps=3", "--recipe", "max_steps=4"], "max_steps is given twice"),
        (["--recipe", "reset_voltage=[0.5, 4.0, 0.1]"], "goes up to 4 V, twin:supert-a0-easy allows 3 V"),
        (["--programmer", "hysteric"], "did you mean 'hysteretic'"),
        (["--unit", "target=uS"], "leave --unit target=uS out"),
        (["--array", "replay:nowhere.h5"], "nowhere.h5"),
    ],
)
def test_mistakes_reach_no_cell(words: list[str], said: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("the array was asked")

    for name in ("_read_mvm", "_read_conductances", "_apply_pulses"):
        monkeypatch.setattr(DigitalTwin, name, refuse)
    done = imssa("program", "targets.npy", "--array", TWIN, *words)
    assert done.exit_code == 1
    assert said in " ".join(done.stderr.split())
    assert [path.name for path in here.iterdir()] == ["targets.npy"]


def test_targets_of_another_shape_are_refused(here: Path) -> None:
    np.save("wide.npy", np.full((8, 9), 50e-6))
    done = imssa("program", "wide.npy", "--array", TWIN)
    assert done.exit_code == 1
    assert "8 x 9 targets, the array has 8 word lines x 8 bit lines" in done.stderr
