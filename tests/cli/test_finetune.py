"""Fine-tuning from the command line: on a twin and on a board behind its driver, without a pulse, replayed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.arrays.recheck import replaced
from imssa_lab.log import open_run
from imssa_lab.s4d.inference import run_network
from imssa_lab.station.deployed_runs import kept_corrections, open_deployment
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.corrections import output_map
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import TwinProfile

TWIN = "twin:ideal?shape=16x16&seed={index}"


def imssa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def deployed(folder: Path, address: str, *, labels: bool = True) -> Path:
    """The folder of a deployment of the tiny net."""
    inputs = np.random.default_rng(9).uniform(-1, 1, (48, tiny.STEPS, tiny.INPUTS))
    own = run_network(tiny.bundle(), inputs).argmax(axis=1)
    tiny.bundle().save(folder / "bundle.safetensors")
    training = (inputs, own) if labels else (None, None)
    Sequences(*tiny.decided_sequences(), {"null": 0.5}, None, *training).save(folder / "sequences.npz")
    words = folder / "bundle.safetensors", "--sequences", folder / "sequences.npz", "--array", address
    done = imssa("deploy", *words, "--out", folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


def spoil(run: Path) -> None:
    """Mix two outputs of the deployed net, which gains cannot undo."""
    with open_deployment(run) as network:
        (layer,) = network.corrections.layers
        turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
        network.adopt(network.corrections.changed("a test", layers=(replace(layer, gain=layer.gain * turn),)))


def test_a_check_says_which_corrections_no_longer_apply(tmp_path: Path) -> None:
    run = deployed(tmp_path, f"{TWIN}&state={tmp_path}/chip{{index}}.h5")
    assert replaced(kept_corrections(run)[-1], run) == ""  # those of the deployment itself
    spoil(run)
    fitted = kept_corrections(run)[-1]
    words = "".join(imssa("recheck", run).output.split())
    assert fitted.name in words
    assert "(atest,20" in words
    assert "nolongerapplies;fititagain:imssafinetune" in words
    fitted.write_text("{", encoding="utf-8")
    assert "it no longer applies" in replaced(fitted, run)


def test_on_a_twin_it_is_kept_told_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = deployed(tmp_path, TWIN)
    spoil(run)
    done = imssa("finetune", run, "--map", "--fit", 16, "--held-out", 24, "--tests", 30, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [(one["by"], one["kept"]) for one in said["tried"]] == [("output map", True)]
    assert said["tried"][0]["null"]["error"] > 3 * said["tried"][0]["after"]["error"]
    assert [level["passed"] for level in said["kernel"]] == [False, True]
    assert said["task"]["figures"]["on_array"] == 1.0
    assert said["files"]["corrections"] == str(kept_corrections(run)[-1])
    assert [json.loads(path.read_text())["by"] for path in kept_corrections(run)] == [
        "deployment",
        "a test",
        "output map",
    ]
    again = imssa("finetune", run, "--fit", 8, "--no-null", "--tests", 0)  # both, and nothing is left to gain
    assert again.exit_code == 0, again.output
    words = " ".join(again.output.replace("│", " ").split())
    for said_so in ("fine-tuning: nothing kept", "multiply-adds a step", "level kernel, before", "no pulses"):
        assert said_so in words
    assert "null control" not in words
    assert len(kept_corrections(run)) == 3
    for name in ("run-1.h5", "run-2.h5"):
        with open_run(run / name) as log:
            assert log.records("pulses") == log.records("program") == 0
        assert imssa("log", "replay", run / name).exit_code == 0
    assert imssa("log", "replay", run / "run.h5").exit_code == 0  # the deployment itself, as ever
    monkeypatch.setattr(output_map.ridge, "__defaults__", (0.1,))
    other = imssa("log", "replay", run / "run-1.h5")
    assert other.exit_code == 1
    assert "differs" in other.stderr


def test_through_a_driver_no_cell_moves(tmp_path: Path) -> None:
    profile = TwinProfile.load("supert-a0-easy")
    none = profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    board = SuperTBoard(profile.model_copy(update={"stuck": none, "lines": None, "overdrive": None}), seed=4)
    with PtyPort(board) as port:
        run = deployed(tmp_path, f"serial+supert-a0:{port.port}?array={{index}}&block=16x24", labels=False)
        cells = board.benches[0].cells.conductance.copy()
        refused = imssa("finetune", run, "--head", "--fit", 1, "--held-out", 1)
        assert refused.exit_code == 1
        assert "fit the map alone" in refused.stderr
        assert not (run / "run-1.h5").exists()  # before anything was opened
        done = imssa("finetune", run, "--fit", 2, "--held-out", 2, "--tests", 4)
    assert done.exit_code in (0, 3), done.output
    assert np.array_equal(board.benches[0].cells.conductance, cells)
    replayed = imssa("log", "replay", run / "run-1.h5")
    assert replayed.exit_code == 0, replayed.output
