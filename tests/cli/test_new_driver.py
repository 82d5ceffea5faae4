"""`imssa new-driver`: what it writes installs and passes the contract; a driver that breaks it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app

ROOT = Path(__file__).parents[2]


def imssa(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def package(tmp_path):
    made = imssa("new-driver", "my-board", "--out", tmp_path / "package")
    assert made.exit_code == 0, made.output
    return tmp_path / "package"


def contract(package):
    """Install into a folder of its own, without network, and run the package's tests."""
    site = package.parent / "site"
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", site, package], check=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", package / "test_my_board.py"],
        cwd=package,
        env=os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},  # the contract of this checkout
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_it_writes_installs_and_passes_the_contract(package):
    done = contract(package)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


COARSE = ("linspace(0.0, PULSE.gate_max, 101)[1:]", "linspace(0.0, PULSE.gate_max, 4)[1:]")
PRETENDS = ("good = mask &", "achieved = np.where(mask, target, np.nan)\n    good = mask &")
BROKEN = {
    "product_with_the_conductances": [("voltages @ self.cells", "voltages[:, ::-1] @ self.cells")],
    "product_with_the_conductances, bit lines": [("voltages @ self.cells", "voltages @ self.cells[:, ::-1]")],
    "product_with_the_conductances, a tenth too much": [("voltages @ self.cells", "1.1 * voltages @ self.cells")],
    "product_with_the_conductances, one bit line a tenth too little": [
        ("voltages @ self.cells", "voltages @ self.cells * np.where(np.arange(INFO.cols) == 2, 0.9, 1.0)")
    ],
    "product_with_the_conductances, an offset": [("voltages @ self.cells", "voltages @ self.cells + 5e-6")],
    "up_to_its_limit": [("voltages @ self.cells", "np.clip(voltages, -0.18, 0.18) @ self.cells")],
    "only_the_selected_cells": [("np.where(pulses.mask, after", "np.where(pulses.mask[::-1], after")],
    "default_programmer": [COARSE],
    "a_fresh_reading_confirms": [COARSE, PRETENDS],
}


@pytest.mark.parametrize(("fails", "changes"), BROKEN.items(), ids=BROKEN)
def test_a_broken_driver_fails_it(package, fails, changes):
    module = package / "my_board.py"
    text = module.read_text()
    for right, wrong in changes:
        assert right in text
        text = text.replace(right, wrong)
    module.write_text(text)
    done = contract(package)
    assert done.returncode == 1, done.stdout
    test = fails.partition(",")[0]
    assert any(test in line for line in done.stdout.splitlines() if line.startswith("FAILED")), done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My Board", "small letters"),
        ("../x", "small letters"),
        ("twin", "a driver 'twin' already"),
        ("numpy", "another 'numpy'"),
        ("class", "another 'class'"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = imssa("new-driver", name)
    assert done.exit_code == 1
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(package):
    assert "nothing was overwritten" in imssa("new-driver", "my-board", "--out", package).stderr
