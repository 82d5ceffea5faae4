"""Deployments from the command line, on a board behind its driver: cut off, resumed, checked again."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.shared.verdicts import verdicts
from imssa_lab.contract.errors import ConfigError, DeploymentError, WrongInstrument
from imssa_lab.log import open_run
from imssa_lab.log.replay import repeated
from imssa_lab.s4d.inference import run_network
from imssa_lab.station.deployed_runs import keep_corrections, kept_corrections, open_deployment
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.chip_record import ChipRecord
from protocols.deployment.outcomes import KernelEnd
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin, TwinProfile


def imssa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.decided_sequences(), {"null": 0.5}).save(tmp_path / "sequences.npz")
    return tmp_path


@pytest.fixture
def board() -> SuperTBoard:
    profile = TwinProfile.load("supert-a0-easy")
    none = profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    return SuperTBoard(profile.model_copy(update={"stuck": none, "lines": None, "overdrive": None}), seed=4)


@pytest.fixture
def address(board: SuperTBoard) -> Iterator[str]:
    with PtyPort(board) as port:
        yield f"serial+supert-a0:{port.port}?array={{index}}&block=16x24"


def deploy(folder: Path, address: str, *more: object) -> Result:
    bundle, sequences = folder / "bundle.safetensors", folder / "sequences.npz"
    return imssa("deploy", bundle, "--sequences", sequences, "--array", address, "--out", folder / "run", *more)


def facts(folder: Path) -> dict[str, object]:
    """Of the newest verdict of the deployment."""
    found: dict[str, object] = json.loads((verdicts(folder / "run")[-1] / "result.json").read_text())
    return found


def test_through_the_serial_driver_and_checked_again_after_drift(
    folder: Path, board: SuperTBoard, address: str
) -> None:
    record = folder / "chips.sqlite"
    done = deploy(folder, address, "--chip-record", record)
    assert done.exit_code == 0, done.output
    ends = facts(folder)["kernels_by_name"]
    assert isinstance(ends, dict)
    assert len(ends) == tiny.CHANNELS
    assert set(ends.values()) <= set(KernelEnd)
    with ChipRecord(record) as chips:
        (chip,) = chips.chips()
        assert chips.wear(chip).pulses.sum() == facts(folder)["pulses"]
        before = chips.wear(chip).pulses
    kept = kept_corrections(folder / "run")
    (as_deployed,) = [path.read_bytes() for path in kept]
    _, test, _ = tiny.decided_sequences()
    with open_deployment(folder / "run") as deployed:  # the board again, by what the run says
        agreed = np.mean(deployed(test).argmax(axis=1) == np.array(facts(folder)["predictions"]))
        assert agreed >= 0.9  # all but those that noise decides
        with pytest.raises(WrongInstrument, match="give its arrays, in its order"):
            open_deployment(folder / "run", [DigitalTwin("supert-a0-easy", (16, 24))])
    with open_run(folder / "run" / "run.h5") as run:
        cells = np.isfinite(run.table("program")["target"].values[0])
    row, col = np.argwhere(cells)[0]
    board.benches[0].cells.conductance[row, col] += 60e-6
    again = imssa("recheck", folder / "run", "--chip-record", record)
    assert again.exit_code == 0, again.output
    with ChipRecord(record) as chips:
        sent = chips.wear(chip).pulses - before
    assert sent[row, col] > 0
    assert np.count_nonzero(sent) <= 0.1 * np.count_nonzero(cells)  # only what had left its window
    assert len(kept_corrections(folder / "run")) == 2
    assert kept[0].read_bytes() == as_deployed
    for name in ("run.h5", "run-1.h5"):
        replayed = imssa("log", "replay", folder / "run" / name)
        assert replayed.exit_code == 0, replayed.output


def test_a_look_without_pulses(folder: Path, board: SuperTBoard, address: str) -> None:
    assert deploy(folder, address).exit_code == 0
    first = {name: (folder / "run" / name).read_bytes() for name in ("result.json", "report.html", "run.h5")}
    board.benches[0].cells.conductance[:] = 76e-6  # everything is lost
    before = board.benches[0].cells.conductance.copy()
    told = imssa("recheck", folder / "run", "--dry-run")
    assert told.exit_code == 0, told.output
    assert "recheck, dry run: nothing was driven" in told.stdout
    assert np.abs(board.benches[0].cells.conductance - before).max() == 0
    looked = imssa("recheck", folder / "run", "--max-pulses", 0)
    assert looked.exit_code == 3
    assert "spent before the end" in looked.stdout
    assert np.abs(board.benches[0].cells.conductance - before).max() < 5e-6
    assert facts(folder)["pulses"] == 0
    assert facts(folder)["passed"] is False
    assert set(facts(folder)["cells_by_outcome"]) <= {"reached", "budget"}  # type: ignore[call-overload]
    assert {name: (folder / "run" / name).read_bytes() for name in first} == first
    lines = [line.split(",")[0] for line in looked.stdout.splitlines() if "accuracy on the arrays" in line]
    assert lines[0].startswith("deployment: verified")
    assert lines[1].startswith("check ")
    assert lines[1].endswith("NOT verified")
    assert (verdicts(folder / "run")[-1] / "report.html").exists()


def test_known_stuck_cells_are_planned_around(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = folder / "chips.sqlite"
    with ChipRecord(record) as chips, DigitalTwin("ideal", (16, 16), seed=0) as array:
        stuck = np.zeros((16, 16), dtype=bool)
        stuck[:3, :6] = True  # the place of the first kernel
        chips.add_faults(chips.know(array.info), {"stuck low": stuck}, "characterise")
    done = deploy(folder, "twin:ideal?shape=16x16&seed={index}", "--chip-record", record, "--averages", 2)
    assert done.exit_code == 0, done.output
    assert "predicted from known faults" in done.stdout
    assert facts(folder)["kernels_changed_by_faults"]
    with open_run(folder / "run" / "run.h5") as run:
        assert not np.isfinite(run.table("program")["target"].values[:, :3, :6]).any()
    replayed = imssa("log", "replay", folder / "run" / "run.h5")
    assert replayed.exit_code == 0, replayed.output


def test_a_twin_that_is_opened_again_is_as_the_run_left_it_and_corrections_add_up(folder: Path) -> None:
    run, address = folder / "run", "twin:ideal?shape=16x16&seed={index}"
    assert deploy(folder, address).exit_code == 0
    _, test, _ = tiny.decided_sequences()
    exact = run_network(tiny.bundle(), test)
    with open_deployment(run) as deployed:
        assert deployed(test) == pytest.approx(exact, abs=0.05)
        first = deployed.corrections
        wrong = tuple(replace(layer, gain=layer.gain * [1, 1, -0.8]) for layer in first.layers)
        deployed.adopt(first.changed("a test", layers=wrong))
        assert deployed.recalibrate(test).kept
        assert deployed(test) == pytest.approx(exact, abs=0.05)
    with pytest.raises(ConfigError, match="never overwritten"):
        keep_corrections(run, first)
    kept = kept_corrections(run)
    assert [json.loads(path.read_text())["by"] for path in kept] == ["deployment", "a test", "recalibration"]
    with open_deployment(run) as again:  # the newest applies
        assert again.corrections.by == "recalibration"
        assert again(test) == pytest.approx(exact, abs=0.05)
    moved = json.loads(kept[-1].read_text())
    kept[-1].write_text(json.dumps(moved | {"plan_sha256": "0" * 64}))
    with pytest.raises(DeploymentError, match="kernels in other places"):
        open_deployment(run)
    kept[-1].write_text("{")
    with pytest.raises(DeploymentError, match="the one before it applies"):
        open_deployment(run)
    for path in kept:
        path.unlink()
    with pytest.raises(DeploymentError, match="keeps no corrections"):
        open_deployment(run)
    with pytest.raises(ConfigError, match="holds no deployment"):
        open_deployment(folder)


def test_dense_layers_from_the_command_line(folder: Path) -> None:
    """Rehearsed, deployed, opened again, checked again and replayed, each with the array of the encoder."""
    run, address = folder / "run", f"twin:ideal?shape=16x16&seed={{index}}&state={folder}/chip{{index}}.h5"
    told = deploy(folder, address, "--layers", "all", "--dry-run")
    assert told.exit_code == 0, told.output
    assert "2 needed, 2 opened" in " ".join(told.stdout.split())
    done = deploy(folder, address, "--layers", "all")
    assert done.exit_code == 0, done.output
    assert "encoder, NRMSE of its median output" in done.stdout
    found = facts(folder)
    assert found["arrays"] == 2
    assert [level["level"] for level in found["levels"]] == ["cells", "mvm", "kernel", "dense", "task"]  # type: ignore[attr-defined]
    assert len(found["dense_nrmse"]["encoder"]) == tiny.CHANNELS  # type: ignore[call-overload, index]
    _, test, _ = tiny.decided_sequences()
    with open_deployment(run) as deployed:
        assert deployed.dense.layers == ["encoder"]
        assert deployed(test) == pytest.approx(run_network(tiny.bundle(), test), abs=0.05)
        assert deployed.dense.reads == test[..., 0].size
    again = imssa("recheck", run)
    assert again.exit_code == 0, again.output
    assert facts(folder)["arrays"] == 2
    for name in ("run.h5", "run-1.h5"):
        replayed = imssa("log", "replay", run / name)
        assert replayed.exit_code == 0, replayed.output


def test_a_twin_that_is_kept_gets_no_pulse_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = folder / "chip{index}.h5"
    assert deploy(folder, f"twin:ideal?shape=16x16&seed={{index}}&state={state}").exit_code == 0
    again: list[int] = []
    monkeypatch.setattr(repeated, "repeat", lambda run, index, array: again.append(index))
    _, test, _ = tiny.decided_sequences()
    with open_deployment(folder / "run") as deployed:
        assert deployed(test) == pytest.approx(run_network(tiny.bundle(), test), abs=0.05)
    assert again == []
    for path in folder.glob("chip*.h5"):
        path.unlink()
    open_deployment(folder / "run").close()
    assert again == [0]


def test_a_link_that_drops_leaves_a_report_and_an_outcome_for_every_kernel(
    folder: Path, board: SuperTBoard, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.supert_a0.supert_array import SuperTArray
    from imssa_lab.contract.errors import LinkLost
    from imssa_lab.contract.hal import Pulses

    sent, left = SuperTArray._apply_pulses, iter(range(10))

    def breaking(self: SuperTArray, pulses: Pulses) -> None:
        if next(left, None) is None:
            raise LinkLost("the cable is out")
        sent(self, pulses)

    with monkeypatch.context() as patch:
        patch.setattr(SuperTArray, "_apply_pulses", breaking)
        cut = deploy(folder, address)
    assert cut.exit_code == 1
    assert "the cable is out" in cut.stderr
    assert (folder / "run" / "report.html").exists()
    with open_run(folder / "run" / "run.h5") as run:
        ends = [text for _, text in run.events("kernel")]
    assert len(ends) == tiny.CHANNELS
    assert all(text.endswith("not finished") for text in ends)
    resumed = deploy(folder, address, "--resume")
    assert resumed.exit_code == 0, resumed.output


def test_recheck_wants_the_folder_of_a_deployment(tmp_path: Path) -> None:
    assert imssa("recheck", tmp_path).exit_code == 1


def test_the_figure_of_stuck_cells(folder: Path) -> None:
    done = imssa(
        "study", "stuck", "--bundle", folder / "bundle.safetensors", "--out", folder / "study", "--chips", 2,
        "--fraction", 0, "--fraction", 0.1, "--sigma", 1, "--tests", 20, "--healthy-gaussian",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table = (folder / "study" / "stuck.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 3
    assert "published" not in (folder / "study" / "stuck.svg").read_text()  # those figures are of another task
    assert "naive" in done.stdout


def test_stuck_cells_of_a_profile_by_pulses(folder: Path) -> None:
    options = ("study", "stuck", "--bundle", folder / "bundle.safetensors", "--profile", "ideal", "--chips", 1)
    options = (*options, "--fraction", 0.1, "--tests", 20, "--out", folder / "study")
    for given in (("--sigma", 1), ("--device", "cpu")):
        wrong = imssa(*options, *given)
        assert wrong.exit_code == 1
        assert "belong to --healthy-gaussian" in " ".join(wrong.output.split())
        assert not (folder / "study").exists()
    wrong = imssa(*options, "--healthy-gaussian", "--layers", "all")
    assert wrong.exit_code == 1
    assert "--layers all needs chips that are programmed by pulses" in " ".join(wrong.output.split())
    assert not (folder / "study").exists()
    done = imssa(*options)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("by pulses") == 3
    rows = [line.split(",") for line in (folder / "study" / "stuck.csv").read_text().splitlines()]
    assert [row[2] for row in rows[1:]] == ["naive", "corrected", "ours"]
    assert {row[1] for row in rows[1:]} == {""}, "no stated error"
    other = imssa(*options[:5], "wan-2022", *options[6:], "--resume")
    assert other.exit_code == 1
    assert "another profile" in " ".join(other.output.split())


def study_results(folder: Path) -> np.ndarray:
    """Accuracies on the chip that a study's file holds at this moment, NaN where there is none yet."""
    with h5py.File(io.BytesIO((folder / "study.h5").read_bytes())) as file:
        return file["results"][:, 1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_killed_and_resumed_ends_with_the_same_files(folder: Path, workers: int) -> None:
    """SIGKILL once the first result is there; the rest by one or two workers."""
    if workers > 1:
        pytest.importorskip("distributed")
    options = ("study", "stuck", "--bundle", folder / "bundle.safetensors", "--chips", 8, "--fraction", 0.1)
    options = (*options, "--sigma", 1, "--tests", 20, "--healthy-gaussian", "--out")
    command = [str(Path(sys.executable).with_name("imssa")), *map(str, options), str(folder / "part")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as study:
        while not (folder / "part" / "study.h5").exists() or np.isnan(study_results(folder / "part")).all():
            assert study.poll() is None
            time.sleep(0.01)
        study.kill()
    left = np.isnan(study_results(folder / "part"))
    assert 0 < left.sum() < left.size
    assert imssa(*options, folder / "whole").exit_code == 0
    done = imssa(*options, folder / "part", "--resume", "--workers", workers)
    assert done.exit_code == 0, done.output
    for name in ("study.h5", "stuck.csv", "stuck.svg"):
        assert (folder / "part" / name).read_bytes() == (folder / "whole" / name).read_bytes()


def test_naive_chips_computed_together_are_those_deployed_alone(folder: Path) -> None:
    """The same chips with other noise: single accuracies within a few of 40 sequences, our loop to the bit."""
    pytest.importorskip("torch")
    options = ("study", "stuck", "--bundle", folder / "bundle.safetensors", "--chips", 6, "--fraction", 0.1)
    options = (*options, "--sigma", 3, "--tests", 40, "--healthy-gaussian", "--out")
    assert imssa(*options, folder / "alone").exit_code == 0
    done = imssa(*options, folder / "together", "--device", "cpu")
    assert done.exit_code == 0, done.output
    alone, together = (study_results(folder / name) for name in ("alone", "together"))
    assert np.array_equal(alone[:6], together[:6])  # naive ones are computed alone
    assert np.array_equal(alone[12:], together[12:])
    assert np.abs(alone[6:12] - together[6:12]).mean() < 0.05
    assert np.abs(alone[6:12] - np.roll(together[6:12], 1)).mean() > 0.05  # other chips are other numbers
    mixed = imssa(*options, folder / "alone", "--resume", "--device", "cpu")
    assert mixed.exit_code == 1
    assert "another --device" in " ".join(mixed.output.split())
    assert imssa(*options, folder / "new", "--device", "gpu").exit_code == 1
    assert not (folder / "new").exists()


def test_characterise_says_how_long_and_goes_on(tmp_path: Path) -> None:
    arguments = [
        "characterise",
        "--array",
        "twin:supert-a0-easy?shape=4x4&seed=1",
        "--out",
        tmp_path / "chip",
        "--only",
        "noise,columns",
    ]
    told = imssa(*arguments, "--dry-run")
    assert told.exit_code == 0, told.output
    assert not (tmp_path / "chip" / "noise.csv").exists()
    assert imssa(*arguments).exit_code == 0
    assert (tmp_path / "chip" / "noise.csv").exists()
    with open_run(tmp_path / "chip" / "run.h5") as log:
        assert log.records("read_conductances") > 0
    assert (tmp_path / "chip" / "report.html").exists()
    assert imssa(*arguments).exit_code == 0  # nothing is left to do
    assert [path.name for path in (tmp_path / "chip").glob("run*.h5")] == ["run.h5"]
