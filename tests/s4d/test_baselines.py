"""Baselines: of the size asked for, and each learns what it can."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.tasks import Task, task_of
from imssa_lab.s4d.train.baselines import KINDS, GruModel, Kind, LinearModel, parameters_of, size_for, train_baseline
from imssa_lab.s4d.train.settings import Stage, TrainingConfig
from tests.cli.one_value import one_value

STAGE = Stage(epochs=25, rate=2e-2, pole_share=0.2)
CONFIG = TrainingConfig(full=STAGE, quantised=STAGE, batch=32)


@pytest.mark.parametrize("size", [1, 3, 24])
def test_the_formula_counts_what_torch_counts(size: int) -> None:
    for kind, model in (("linear", LinearModel(16, 10, size)), ("gru", GruModel(16, 10, size))):
        assert sum(weight.numel() for weight in model.parameters()) == parameters_of(kind, 16, 10, size)  # type: ignore[arg-type]


def test_the_nearest_size_is_found() -> None:
    """The net of two layers of 32 channels of 4 states for 16 inputs and 10 classes has 3,210 parameters."""
    assert size_for("gru", 16, 10, 100, 3210) == 24
    assert parameters_of("gru", 16, 10, 24) == 3274
    assert size_for("linear", 16, 10, 100, 3210) == 20
    assert parameters_of("linear", 16, 10, 20) == 3210
    assert size_for("linear", 16, 10, 8, 3210) == 8, "no more blocks than steps"
    with pytest.raises(ConfigError, match="ask for one or more"):
        size_for("gru", 16, 10, 100, 0)


def a_task(order: bool) -> Task:
    """A level that differs between the classes, or two blips whose order does."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    sequences = 0.3 * rng.normal(size=(300, 10, 2))
    if order:
        gap = rng.integers(1, 5, 300)
        first = rng.integers(0, 5, 300)
        sequences[np.arange(300), first, labels] += 3.0
        sequences[np.arange(300), first + gap, 1 - labels] += 3.0
    else:
        sequences[..., 0] += labels[:, None]
    return task_of("made", sequences, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_each_learns_a_level(kind: Kind) -> None:
    before = torch.get_rng_state()
    found = train_baseline(kind, a_task(order=False), CONFIG, 60)
    assert found.test.value > 0.95
    assert found.test.low < found.test.value <= found.test.high
    assert torch.equal(before, torch.get_rng_state())
    assert train_baseline(kind, a_task(order=False), CONFIG, 60) == found


def test_order_takes_a_model_with_a_state() -> None:
    task = a_task(order=True)
    assert train_baseline("gru", task, CONFIG, 400).test.value > 0.9
    assert train_baseline("linear", task, CONFIG, 8).test.value < 0.75, "one block: no order"


def test_the_command_prints_all_three(tmp_path) -> None:
    task = a_task(order=False)
    np.savez(tmp_path / "mine.npz", sequences=task.train[0], labels=task.train[1])
    asked = CliRunner().invoke(
        app, ["baseline", "--task", str(tmp_path / "mine.npz"), "--epochs", "1", "--json", "--pooling", "max"]
    )
    assert asked.exit_code == 0, asked.output
    told = one_value(asked.stdout)
    assert [row["model"] for row in told["models"]] == ["s4d", "linear", "gru"]
    sizes = [row["parameters"] for row in told["models"]]
    assert abs(sizes[2] - sizes[0]) < 0.1 * sizes[0]
    for row in told["models"]:
        assert f"{100 * row['test']:.1f}" in asked.stderr
    wrong = CliRunner().invoke(app, ["baseline", "--task", str(tmp_path / "mine.npz"), "--speaker", "theo"])
    assert wrong.exit_code == 1
    assert "no option 'speaker'" in wrong.output
