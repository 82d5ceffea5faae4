"""A bundle's net in other software: the same outputs from a program that knows nothing of this package."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.imports.imported_model import import_s4d
from imssa_lab.s4d.imports.s4d_checkpoint import read_s4d_checkpoint
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.tasks.task import Task
from imssa_lab.s4d.torch_program import program_outputs, write_program
from trials import published_s4d as published
from trials import tiny
from trials.untrained import untrained_bundle

HAS_ONNX = all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def imported(folder: Path) -> KernelBundle:
    """Both directions, layer norm before, GELU and gate."""
    data = published.labelled(0, 48, 12)
    torch.save(published.fresh(3, both_ways=True), folder / "s.pt")
    task = Task("t", data, data, data, ("a", "b", "c"), "none", "made up")
    return to_bundle(import_s4d(read_s4d_checkpoint(folder / "s.pt", norm="before"), task), task)


@pytest.mark.parametrize("kind", ["usual", "rounded outputs", "levelled, last", "imported"])
def test_the_program_gives_what_the_bundle_gives(kind: str, tmp_path: Path) -> None:
    bundle = imported(tmp_path) if kind == "imported" else untrained_bundle(seed=0)
    if kind == "levelled, last":
        bundle = replace(bundle, levelling="running", pooling="last", goal="values")
    elif kind == "rounded outputs":
        layers = (replace(layer, output_bits=6, output_range=1.37 * layer.output_range) for layer in bundle.layers)
        bundle = replace(bundle, layers=tuple(layers))
    x = np.random.default_rng(0).normal(size=(5, 12, bundle.inputs))
    write_program(bundle, 12, tmp_path / "net.pt2")
    exact, given = run_network(bundle, x), program_outputs(tmp_path / "net.pt2", x)
    assert given == pytest.approx(exact, abs=1e-10)
    assert np.ptp(exact, axis=0).max() > 0.01, "null control: the outputs vary"


def test_the_program_needs_nothing_of_this_package(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, tiny.STEPS, tiny.INPUTS))
    write_program(tiny.bundle(), tiny.STEPS, tmp_path / "net.pt2")
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy, torch\n"
        "net = torch.export.load('net.pt2').module()\n"
        "numpy.save('y.npy', net(torch.tensor(numpy.load('x.npy'))).numpy())\n"
        "assert not any(name.startswith('imssa_lab') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
    assert np.load(tmp_path / "y.npy") == pytest.approx(run_network(tiny.bundle(), x), abs=1e-12)


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny.bundle()
    with pytest.raises(ConfigError, match=r"\.pt2 or \.onnx"):
        write_program(bundle, 6, tmp_path / "net.pt")
    with pytest.raises(ConfigError, match="one or more"):
        write_program(bundle, 0, tmp_path / "net.pt2")
    rounded = replace(bundle, layers=(replace(bundle.layers[0], state_bits=6),))
    with pytest.raises(ConfigError, match="rounds states or increments"):
        write_program(rounded, 6, tmp_path / "net.pt2")
    (tmp_path / "net.pt2").write_text("mine")
    with pytest.raises(ConfigError, match="was not overwritten"):
        write_program(bundle, 6, tmp_path / "net.pt2")
    monkeypatch.setattr("imssa_lab.s4d.torch_program.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"imssa-lab\[onnx\]"):
        write_program(bundle, 6, tmp_path / "net.onnx")


@pytest.mark.skipif(not HAS_ONNX, reason="onnx, onnxscript and onnxruntime are not installed")
def test_onnx_gives_what_the_bundle_gives(tmp_path: Path) -> None:
    bundle = untrained_bundle(seed=0)
    x = np.random.default_rng(0).normal(size=(5, 12, bundle.inputs))
    write_program(bundle, 12, tmp_path / "net.onnx")
    given = program_outputs(tmp_path / "net.onnx", x)
    assert given is not None
    assert given == pytest.approx(run_network(bundle, x), abs=1e-10)
