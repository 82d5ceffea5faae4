"""`imssa train` with sizes of one's own: as many channels as fit, and what a bundle of them needs."""

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.hal import Window
from imssa_lab.mapping import Packing, map_bundle, needs
from imssa_lab.mapping.placement import most_channels
from imssa_lab.s4d.bundle import KernelBundle
from tests.cli.one_value import one_value
from trials.untrained import untrained_bundle

SMALL = ["--epochs-float", 1, "--epochs-quantised", 1, "--no-null"]


def imssa(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def mine(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", sequences=rng.normal(size=(60, 6, 2)), labels=np.arange(60) % 2)
    return tmp_path / "mine.npz"


def test_as_many_channels_as_fit(mine, tmp_path):
    result = imssa(
        "train", "--task", mine, "--file", tmp_path / "b.safetensors", "--precision", "three-level", *SMALL, "--json",
        "--arrays", 1, "--shape", "32x32", "--states", 1, "--init", "inv", "--dt", "0.02,0.1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = one_value(result.stdout)
    assert told["size"] == {"channels": 5, "layers": 2, "states": 1}
    assert told["needs"] == {"shape": [32, 32], "arrays": 1, "kernels": 10, "cells": 10 * 18}
    assert told["magnitudes_by_array"] == [1]
    assert "1: cells hold -g, 0 or +g" in result.stderr
    bundle = KernelBundle.load(tmp_path / "b.safetensors")
    assert [layer.b.shape for layer in bundle.layers] == [(5, 1, 2)] * 2
    assert '"initialisation":"inv"' in bundle.provenance["training"]
    assert '"dt_range":[0.02,0.1]' in bundle.provenance["training"]


@pytest.mark.parametrize("packing", ["time", "area"])
@pytest.mark.parametrize("states", [1, 2, 4, 20])
@pytest.mark.parametrize("shape", [(64, 64), (16, 40), (8, 64)])
def test_one_channel_more_would_not_fit(states: int, shape: tuple[int, int], packing: Packing) -> None:
    most = most_channels(states, 2, 3, shape, packing)
    if most:
        fits = untrained_bundle(channels=most, states=states, layers=2)
        mapped = map_bundle(fits, shape, Window(low=2e-6, high=150e-6), 3, packing=packing)
        assert needs(fits, shape, packing).arrays == mapped.arrays <= 3
    assert needs(untrained_bundle(channels=most + 1, states=states, layers=2), shape, packing).arrays > 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--arrays", 1, "--channels", 40], "at most 3 channels of 4 states in 2 layers fit on 1 of 64x64"),
        (["--arrays", 1, "--shape", "2x2"], "at most 0 channels"),
        (["--arrays", 1, "--channels", 40, "--packing", "area"], "at most 10 channels of 4 states in 2 layers fit"),
        (["--packing", "space"], "choose one of time, area"),
        (["--shape", "64"], "write word lines x bit lines"),
        (["--init", "fine"], "choose one of lin, inv, legs, spread, real"),
        (["--dt", "0.1"], "write the smallest and the largest step"),
        (["--dt", "0.2,0.1"], "the smaller one first"),
        (["--states", 0], "--states"),
    ],
)
def test_sizes_that_cannot_be_are_refused(mine, tmp_path, arguments, says):
    result = imssa("train", "--task", mine, "--file", tmp_path / "b.safetensors", *arguments)
    assert result.exit_code != 0
    assert says in result.output.replace("\n", " ")
    assert not (tmp_path / "b.safetensors").exists()
