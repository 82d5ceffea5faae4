"""What is in a folder, and in Python, before the code of a page runs: what its reader would have by then."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab import open_array, record
from imssa_lab.cli import app
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.train import recipes
from protocols.deployment.sequences import Sequences
from tests.docs.code_blocks import blocks
from trials import tiny
from trials.electrodes.serial_ports import skip_without_serial_ports


def log_format(folder: Path) -> dict[str, object]:
    """An array whose products are recorded as codes; several conversions to a vector are kept in amperes."""
    array = open_array("twin:supert-a0-easy?seed=1&shape=8x8")
    return {"array": array, "voltages": np.full((3, 8), 0.1)}


def programming(folder: Path) -> dict[str, object]:
    array = open_array("twin:supert-a0?seed=1&shape=8x8")
    return {"array": array, "target": np.full((8, 8), 50e-6), "mask": np.ones((8, 8), bool)}


def station(folder: Path) -> dict[str, object]:
    """The station file that the page shows."""
    (shown,) = (block.text for block in blocks("docs/howto/calibrate-and-program.md") if block.kind == "toml")
    (folder / "station.toml").write_text(shown)
    return {}


def deployed(folder: Path) -> dict[str, object]:
    """The deployment that the page goes on with, of a small net, and sequences for it."""
    inputs = np.random.default_rng(3).uniform(-1, 1, (80, tiny.STEPS, tiny.INPUTS))
    labels = run_network(tiny.bundle(), inputs).argmax(axis=1)
    tiny.bundle().save(folder / "bundle.safetensors")
    given = Sequences(*tiny.sequences(), {"null": 0.5}, None, inputs, labels)
    given.save(folder / "sequences.npz")
    address = "twin:ideal?shape=16x16&seed={index}"
    words = ["bundle.safetensors", "--sequences", "sequences.npz", "--array", address, "--out", "night-1"]
    done = CliRunner().invoke(app, ["deploy", *words])
    assert done.exit_code == 0, done.output
    return {"sequences": inputs[:5], "others": inputs[5:15]}


def supert(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, object]:
    """No board is here: a twin of it opens at its address."""
    from imssa_lab.station import addresses

    patch.setattr(addresses, "open_array", lambda address: open_array("twin:supert-a0?seed=1"))
    return {}


def a_run(folder: Path) -> dict[str, object]:
    with record(folder / "run.h5", [open_array("twin:ideal?shape=4x4")], {}) as (array,), array:
        array.read_mvm([0.1] * 4)
    return {}


def tasks(folder: Path) -> dict[str, object]:
    from imssa_lab.contract.errors import DataError
    from imssa_lab.s4d.tasks import load_task

    try:
        load_task("fsdd-order", 0)
    except DataError as error:
        pytest.skip(f"the recordings are not here: {error}")
    return {}


def frameworks(folder: Path) -> dict[str, object]:
    skip_without_serial_ports()
    return {}


def training(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, object]:
    """One epoch of each stage: it is the call that is tested here, not what it reaches."""
    whole = recipes.training_recipe

    def short(*args, **options):
        config = whole(*args, **options)
        stages = {name: getattr(config, name).model_copy(update={"epochs": 1}) for name in ("full", "quantised")}
        return config.model_copy(update=stages)

    patch.setattr(recipes, "training_recipe", short)
    return {}
