"""Two small runs: a deployment that came to its end, and a night at the bench with everything that pictures show."""

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.log import open_run, record
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin

TITLE = "<night> & day"


@pytest.fixture(scope="session")
def deployed(tmp_path_factory):
    """The file of a deployment on ideal twins."""
    folder = tmp_path_factory.mktemp("deployed")
    tiny.bundle().save(folder / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"float": 0.95, "null": 0.5}).save(folder / "sequences.npz")
    words = [
        "deploy",
        folder / "bundle.safetensors",
        "--sequences",
        folder / "sequences.npz",
        "--out",
        folder / "run",
    ]
    words += ["--array", "twin:ideal?seed={index}&shape=16x16"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return folder / "run" / "run.h5"


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """The file of a night: two chips programmed and calibrated, products, 24 readings at once, some later."""
    path = tmp_path_factory.mktemp("night") / "night.h5"
    arrays = [DigitalTwin("supert-a0-easy", (12, 10), seed=seed) for seed in (1, 2)]
    random = np.random.default_rng(0)
    with record(path, arrays, {"title": TITLE, "command": "<b>night"}) as chips:
        for chip in chips:
            with chip:
                chip.program_conductances(random.uniform(10e-6, 120e-6, chip.info.shape))
                chip.read_conductances(averages=8)
                calibrate_columns(chip)
                chip.read_mvm(random.uniform(0.0, chip.info.limits.read_voltage, (40, chip.info.rows)))
                chip.read_conductances(averages=24)
                for seconds in (10.0, 100.0, 1000.0):
                    chip.wait(seconds)
                    chip.read_conductances(averages=4)
    return path


@pytest.fixture
def deployed_run(deployed):
    with open_run(deployed) as run:
        yield run


@pytest.fixture
def night_run(night):
    with open_run(night) as run:
        yield run
