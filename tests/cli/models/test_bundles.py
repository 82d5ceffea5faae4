"""`imssa bundle show`: figures worked out by hand for the smallest bundle."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
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
