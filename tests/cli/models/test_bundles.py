"""`imssa bundle`: figures worked out by hand for the smallest bundle, and its net for other software."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from imssa_lab.cli import app
from protocols.deployment.sequences import Sequences
from tests.cli.one_value import one_value
from trials import tiny


def show(folder: Path, *more: str):
    tiny.bundle().save(folder / "bundle.safetensors")
    return CliRunner().invoke(app, ["bundle", "show", str(folder / "bundle.safetensors"), *more])


def test_what_the_smallest_bundle_costs(tmp_path: Path) -> None:
    """Three kernels of one state, 2 inputs, 2 classes; converters of 8 bits, weights of float."""
    shown = show(tmp_path, "--json", "--shape", "6x12")
    assert shown.exit_code == 0, shown.output
    told = one_value(shown.stdout)
    kernels, digital = 3 * (8 + 1), 2 * 3 + 3
    assert told["cost"] == {
        "parameters": 3 * (2 + 1) + 2 * (3 + 1) + 2 * 3 + 3 * 6,
        "kernel_macs": kernels,
        "digital_macs": digital,
        "head_macs": 6,
        "bit_operations": 32 * (3 * (6 * 32 + 3 * 8) + 3 * 32 + 6 * 8),
        "state_bytes": 3 * 2 * 4,
        "cells": 3 * 9 * 2,
    }
    assert (told["kernels"], told["arrays"], told["shape"]) == (3, 2, [6, 12])
    assert told["layers"] == [{"channels": 3, "states": 1}]
    assert (told["arrays_with_dense_layers"], told["digital_layers"]) == (3, ["head"])
    assert "encoder on 1 more" in shown.stderr
    assert min(told["magnitudes_by_array"]) > 1
    for value in ("parameters", "multiplications a step, kernels", "different ones besides zero", "2 of 6x12"):
        assert value in shown.stderr
    for number in (told["cost"]["parameters"], told["cost"]["bit_operations"], kernels):
        assert str(number) in shown.stderr


@pytest.mark.parametrize("shape", ["64", "64x", "0x64", "64x-2", "axb"])
def test_a_shape_that_is_none_is_refused(tmp_path: Path, shape: str) -> None:
    shown = show(tmp_path, "--shape", shape)
    assert shown.exit_code == 1
    assert "write word lines x bit lines" in shown.output


def test_an_array_too_small_for_one_state_is_named(tmp_path: Path) -> None:
    shown = show(tmp_path, "--shape", "2x64")
    assert shown.exit_code == 1
    assert "a kernel of one state needs 3 word lines" in shown.output


def test_the_net_of_a_bundle_is_exported_and_compared(tmp_path: Path) -> None:
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.sequences()).save(tmp_path / "sequences.npz")
    words = ["bundle", "export", tmp_path / "bundle.safetensors", "--sequences", tmp_path / "sequences.npz"]
    done = CliRunner().invoke(app, [str(word) for word in (*words, "--file", tmp_path / "net.pt2", "--json")])
    assert done.exit_code == 0, done.output
    told = one_value(done.stdout)
    assert told["difference"] < 1e-12 < 0.1 < told["largest_output"]
    assert (told["steps"], told["inputs"], told["outputs"]) == (tiny.STEPS, tiny.INPUTS, ["yes", "no"])
    assert torch.export.load(tmp_path / "net.pt2").module()(torch.zeros(1, 6, 2, dtype=torch.float64)).shape == (1, 2)
    again = CliRunner().invoke(app, [str(word) for word in (*words, "--file", tmp_path / "net.pt2")])
    assert again.exit_code == 1
    assert "not overwritten" in again.output
