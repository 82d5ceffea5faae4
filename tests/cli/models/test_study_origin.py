"""`imssa study origin` on tones: one command from recordings to a page, resumed where it was cut off."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.models.origin_models import Asked
from imssa_lab.s4d.frontend.gammatone import GammatoneBank
from imssa_lab.s4d.frontend.spikes import SpikeEncoder
from imssa_lab.s4d.tasks import shd_stand_in
from imssa_lab.studies import pulsed_chips
from imssa_lab.studies.pulsed_chips import PulsedResult
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.trials import StudyTrial
from tests.cli.one_value import one_value
from trials.spoken_tones import write_tones

pytest.importorskip("torch")
SMALL = (
    *("--chips", 1, "--tests", 16, "--pairs", 40, "--profile", "ideal"),
    *("--epochs-float", 1, "--epochs-quantised", 1),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with recordings that are found, and a cochlea of 28 channels, which is quick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMSSA_DATA", str(write_tones(tmp_path)))
    few = SpikeEncoder(GammatoneBank(8000, 28, 100.0, 3600.0))
    monkeypatch.setattr(shd_stand_in.write_stand_in, "__defaults__", (1000, None, lambda done, total: None, few))
    return tmp_path


def imssa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def stopping(whole: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The same, but Ctrl-C comes in call number `at`."""
    calls = []

    def run(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return whole(*given)

    return run


def test_one_command_cut_off_and_resumed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pulsed_chips, "pulsed_trial", stopping(pulsed_chips.pulsed_trial, 3))
        cut = imssa("study", "origin", "--out", "cut", *SMALL)
    assert cut.exit_code == 130, cut.output
    assert "to continue: the same command with --resume" in cut.stderr
    assert "2 of 3 deployments are through" in " ".join((here / "cut" / "report.html").read_text().split())
    made = {path: path.stat().st_mtime_ns for path in (here / "cut").rglob("*.safetensors")}
    done = imssa("study", "origin", "--out", "cut", *SMALL, "--resume", "--json")
    assert done.exit_code == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in (here / "cut").rglob("*.safetensors")} == made
    told = one_value(done.stdout)
    assert (told["task"], told["published"]) == ("fsdd-order-events", False)
    assert [row["arm"] for row in told["rows"]] == ["naive", "corrected", "ours"]
    assert all(len(row["accuracies"]) == 1 and row["products"] > 0 for row in told["rows"])
    assert told["models"][0]["arrays"] == 3
    assert [len(row["levels"]) for row in told["rows"]] == [4, 4, 4]
    assert told["rows"][2]["levels"][0] == 1, "on an ideal chip our loop brings all cells to their targets"
    page = (here / told["files"]["page"]).read_text()
    assert "A stand-in, not the published task" in page
    assert "needs no memory: a net without any answers it in 99 to 100 %" in " ".join(page.split())
    assert "95.06" not in page
    assert page.count("<img") == 3
    assert "an inference, on the arrays" in page
    with h5py.File(here / "cut" / "study.h5") as file:
        right, accuracies = file["rows/right"][:], file["results"][:, 1]
    assert np.allclose(right.mean(axis=1), accuracies)
    assert len((here / "cut" / "origin.csv").read_text().splitlines()) == 1 + 3
    other = imssa("study", "origin", "--out", "cut", *SMALL, "--resume", "--seeds", 2)
    assert other.exit_code == 1
    assert "begun with another" in other.stderr


def not_deployed(models: Sequence[StudyModel], trial: StudyTrial) -> PulsedResult:
    """Stands in for a deployment, of which nothing is asked here."""
    figures = np.zeros(len(pulsed_chips.FIGURES))
    figures[:2] = 0.75
    return PulsedResult(figures, np.arange(16) < 12, np.full(16, 0.1))


def test_the_published_accuracies_stand_beside_shd_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulsed_chips, "pulsed_trial", not_deployed)
    shd_stand_in.write_stand_in(here / "shd", 40)
    taken_for = imssa("study", "origin", "--data", "shd", "--out", "no", *SMALL)
    assert taken_for.exit_code == 1
    assert "holds the stand-in that this package made, not SHD" in " ".join(taken_for.stderr.split())
    for path in (here / "shd").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            del file.attrs["stand_in"]
    assert [Asked.of(here / place, "0,1", 40, 1, (1, 1)).data for place in ("shd", ".")] == 2 * [here / "shd"]
    done = imssa("study", "origin", "--data", ".", "--out", "of", *SMALL)
    assert done.exit_code == 0, done.output
    assert "published: 95.06 % in software, 81.69 % on the chip" in done.stdout
    page = (here / "of" / "report.html").read_text()
    assert "95.06 % in software" in " ".join(page.split())
    assert "stand-in" not in page


def test_without_recordings_it_says_what_to_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSSA_DATA", str(here / "empty"))
    done = imssa("study", "origin", *SMALL)
    assert done.exit_code == 1
    assert "imssa data download fsdd" in done.stderr
    assert "--data FOLDER" in done.stderr
    assert imssa("study", "origin", "--data", here / "empty", *SMALL).exit_code == 1
    wrong = imssa("study", "origin", "--classes", "zero,one", "--out", "other", *SMALL)
    assert "write two classes of SHD" in wrong.stderr
    never = imssa("study", "origin", "--out", "never", "--resume", *SMALL)
    assert never.exit_code == 1
    assert "start the study without --resume" in never.stderr
