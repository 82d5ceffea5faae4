"""`imssa import-s4d`, on a checkpoint of a second."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from protocols.deployment.sequences import Sequences
from tests.cli.one_value import one_value
from trials import published_s4d as published

SEQUENCES, CLASSES = published.labelled(2, 90, 16)
OFFSET = np.array([3.0, 0.0, -1.0], dtype=np.float32)
"""Inputs that are far from mean 0: the model was made for them as they are."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with its layer norms before the kernels, data of one's own, and what the source gives."""
    inputs = SEQUENCES + OFFSET
    state = published.fresh(5)
    torch.save({"model": state, "epoch": 3}, tmp_path / "s4d.pt")
    np.savez(tmp_path / "mine.npz", sequences=inputs, labels=CLASSES)
    logits = published.logits(state, torch.from_numpy(inputs[:8]), before=True).numpy()
    np.savez(tmp_path / "logits.npz", inputs=inputs[:8], logits=logits)
    return tmp_path


def imported(folder: Path, *more: Any, name: str = "b") -> Result:
    (folder / name).mkdir(exist_ok=True)
    out = folder / name / "bundle.safetensors"
    words = ["import-s4d", folder / "s4d.pt", "--task", folder / "mine.npz", "--file", out, *more]
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_checkpoint_becomes_a_bundle_that_gives_what_its_source_gives(folder: Path) -> None:
    result = imported(folder, "--norm", "before", "--reference", folder / "logits.npz", "--json")
    assert result.exit_code == 0, result.output
    told = one_value(result.stdout)
    assert told["deviation"] < 1e-9
    assert told["blocks"] == "4 x 3; 4 x 3 kernels x states: GELU, gated linear unit, layer norm before the kernels"
    bundle = KernelBundle.load(folder / "b/bundle.safetensors")
    digest = hashlib.sha256((folder / "s4d.pt").read_bytes()).hexdigest()
    assert bundle.provenance["source"] == f"s4d.pt, sha256 {digest}, layer norms before, r_max 0.9995"
    assert bundle.provenance["training"] == "elsewhere"
    held = np.load(folder / "logits.npz")
    assert run_network(bundle, held["inputs"]) == pytest.approx(held["logits"], abs=1e-9)
    sequences = Sequences.load(folder / "b/sequences.npz")
    assert abs(sequences.calibration_inputs[..., 0].mean() - 3.0) < 0.5, "inputs as they are"
    assert sequences.reference["float"] == bundle.expected_accuracy[0]
    null = told["accuracy"]["null_control"]
    assert sequences.reference["null"] == null
    assert told["needs_memory"] is (bundle.expected_accuracy[1] > null)
    shown = CliRunner().invoke(app, ["bundle", "show", str(folder / "b/bundle.safetensors"), "--json"])
    assert one_value(shown.stdout)["blocks"] == told["blocks"]
    again = imported(folder, "--norm", "before")
    assert again.exit_code == 1
    assert "nothing was overwritten" in again.output


def test_a_model_that_is_read_at_its_last_step(folder: Path) -> None:
    inputs = torch.from_numpy(SEQUENCES[:8] + OFFSET)
    logits = published.logits(published.fresh(5), inputs, before=True, last=True).numpy()
    np.savez(folder / "last.npz", inputs=inputs.numpy(), logits=logits)
    asked = ("--norm", "before", "--reference", folder / "last.npz", "--no-null")
    wrong = imported(folder, *asked)
    assert wrong.exit_code == 1
    assert "or another --pooling" in " ".join(wrong.output.split())
    right = imported(folder, *asked, "--pooling", "last")
    assert right.exit_code == 0, right.output
    assert "not trained" in right.output
    bundle = KernelBundle.load(folder / "b/bundle.safetensors")
    assert bundle.provenance["source"].endswith("pooling last")
    assert set(Sequences.load(folder / "b/sequences.npz").reference) == {"float"}


def test_it_is_rounded_or_trained_on(folder: Path) -> None:
    for name, more in (("rounded", ["--no-null"]), ("trained", ["--epochs", 1, "--no-null"])):
        result = imported(folder, "--norm", "before", "--precision", "4bit", *more, name=name)
        assert result.exit_code == 0, result.output
        assert KernelBundle.load(folder / name / "bundle.safetensors").precision == "4bit"
    weights = [KernelBundle.load(folder / name / "bundle.safetensors").layers[0].c for name in ("rounded", "trained")]
    assert not np.array_equal(*weights)
    trained = KernelBundle.load(folder / "trained/bundle.safetensors").provenance
    assert trained["source"].startswith("s4d.pt, sha256")
    assert trained["training"] != "elsewhere"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--reference", "logits.npz"], "differ by"),
        (["--reference", "mine.npz", "--norm", "before"], "no .npz file with inputs"),
        (["--pooling", "first"], "choose one of mean, max, last"),
        (["--norm", "between"], "layer norms are after the residual or before the kernels"),
        (["--r-max", 0.9], "poles have a radius above 0.9"),
        (["--epochs", 2], "--epochs trains on at a precision of few bits"),
        (["--shape", "64"], "write word lines x bit lines"),
        (["--precision", "9bit"], "choose float, ternary or 2bit to 8bit"),
    ],
)
def test_what_cannot_be_imported_is_named_and_nothing_written(folder: Path, more: list[Any], says: str) -> None:
    words = [folder / word if str(word).endswith(".npz") else word for word in more]
    result = imported(folder, *words)
    assert result.exit_code == 1, result.output
    assert says in " ".join(result.output.split())
    assert not list((folder / "b").iterdir())
