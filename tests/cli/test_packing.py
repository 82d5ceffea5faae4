"""`--packing`: which is chosen and why, both in a dry run and in `imssa cost`, and what belongs to a deployment."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.arrays import before_deploying
from imssa_lab.cli.arrays import deploy as deploying
from imssa_lab.log import open_run
from imssa_lab.station.deployed_runs import open_deployment
from protocols.deployment.sequences import Sequences
from tests.cli.one_value import one_value
from trials import tiny

MANY = "twin:ideal?shape=6x24&seed={index}"
"""Each has room for two of the three kernels of three lines packed for time, and for eight packed for area."""
SINGLE = "twin:ideal?shape=6x24&state=chip.h5"


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a net was deployed on a single array."""
    folder, before = tmp_path_factory.mktemp("packing"), Path.cwd()
    tiny.bundle().save(folder / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(folder / "sequences.npz")
    os.chdir(folder)
    try:
        done = deployed(array=SINGLE, out="single")
        assert done.exit_code == 0, done.output
        (folder / "said.txt").write_text(done.output)
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(before_deploying, "_ENOUGH", 1)
    return home


def deployed(*more: object, array: str = MANY, out: str = "new") -> Result:
    words = ("bundle.safetensors", "--sequences", "sequences.npz", "--array", array, "--out", out, *more)
    return imssa("deploy", *words)


def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("single", "result.json").read_text())
    return found


def test_what_fits_is_chosen_and_said(here: Path) -> None:
    single = (here / "said.txt").read_text()
    assert "kernels packed for area, 1 array: packed for time, the kernels need 2 arrays, there is 1 (" in single
    assert "3 kernels packed for area" in single
    assert "3, packed for area" in (here / "single" / "report.html").read_text()
    found = [result()[name] for name in ("packing", "arrays", "reads_a_step")]
    assert found == ["area", 1, {"planned": 3, "mended": 3}]
    assert "time, 2 arrays: there are enough arrays" in deployed("--dry-run").stdout


def test_a_packing_that_does_not_fit_or_is_none_is_refused(here: Path) -> None:
    for asked, array, out, words in (
        ("time", SINGLE, "new", "2 arrays of 6x24 needed, there is 1: name more by --array (--packing area needs 1)"),
        ("space", MANY, "new", "choose one of time, area"),
        ("time", SINGLE, "single", "the deployment began packed for area"),
    ):
        refused = deployed("--packing", asked, *(["--resume"] if out == "single" else []), array=array, out=out)
        assert refused.exit_code == 1
        assert words in " ".join(refused.stderr.split())
    assert not (here / "new").exists()


def test_packed_for_area_a_run_replays_runs_new_sequences_and_is_checked_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "leave_report", lambda log, path: None)  # which takes longer than all the rest
    _, test, _ = tiny.sequences()
    with open_deployment(here / "single") as network:
        assert network.mapping.packing == "area"
        assert (network(test).argmax(axis=1) == result()["predictions"]).all()
    again = imssa("recheck", "single")
    assert again.exit_code == 0, again.output
    assert "kernels packed for area, 1 array: as the deployment began" in again.output
    for name, pulses in (("run.h5", result()["pulses"]), ("run-1.h5", 0)):
        assert imssa("log", "replay", here / "single" / name).exit_code == 0
        with open_run(here / "single" / name) as run:
            assert run.provenance["packing"] == "area"
            assert run.column("pulses", "count").sum() == pulses
    with open_run(here / "single" / "run.h5") as run:  # no cell of another tile gets a target
        programmed = np.isfinite(run.table("program")["target"].values).any(axis=0)
    assert not programmed[3:].any()
    assert not programmed[:, 18:].any()


def test_a_dry_run_and_the_cost_tell_of_both_what_deployments_count(here: Path) -> None:
    asked = "--packing", "area", "--dry-run"
    shown = deployed(*asked).stdout
    assert "area, 1 array: as --packing says" in shown
    assert "2 arrays, 90 cells to program; 2 products a time step; an inference reads 12 products" in shown
    assert "1 array, 54 cells to program; 3 products a time step; an inference reads 18 products" in shown
    told, done = one_value(deployed(*asked, "--json").stdout), result()
    assert told["arrays_needed"] == 1
    found = told["packings"]
    assert found["area"]["inference"] == done["inference"]["planned"]
    assert found["area"]["reads_a_step"] == done["reads_a_step"]["planned"]
    assert [(found[each]["arrays"], found[each]["kernels"]) for each in ("time", "area")] == [(2, 3), (1, 3)]
    used, every = (
        [found[each]["inference"][name] for each in ("time", "area")]
        for name in ("conversions", "conversions_of_every_line")
    )
    assert used[0] == used[1]
    assert every[1] == 1.5 * every[0]
    for packing in ("time", "area"):
        asked = "cost", "bundle.safetensors", "--array", MANY, "--packing", packing
        priced = one_value(imssa(*asked, "--json").stdout)
        assert priced["inference"] == found[packing]["inference"]
        assert set(priced["packings"]) == {"time", "area"}
        assert priced["energy"] == priced["packings"][packing]["energy"]
    shown = imssa(*asked).stdout
    assert "packed for area, as planned" in shown
    assert "packed for time instead" in shown
