"""Trainings that are killed, stop early, diverge, are pruned or only rounded; and sweeps over precisions."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imssa_lab.contract.errors import ConfigError, TrainingError
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.model.network import Architecture, S4DNetwork
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.pruning import channel_strength, kernel_cells, prune, state_strength
from imssa_lab.s4d.tasks import Augmentation, digits_first
from imssa_lab.s4d.train import bit_sweep
from imssa_lab.s4d.train.bit_sweep import sweep_bits
from imssa_lab.s4d.train.epochs import augment, distance_from
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.settings import Stage, TrainingConfig
from imssa_lab.s4d.train.training import (
    TrainedModel,
    quantise,
    train,
    train_float,
    train_null,
    train_quantised,
    without_state,
    write_history,
)
from tests.s4d.test_bundle import CONFIG, make_task

TASK = make_task()


def test_a_training_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Stopped in the float stage and again in the quantised one; the same bits as without a stop."""
    whole = to_bundle(train(TASK, CONFIG), TASK).digest()
    path = tmp_path / "model.checkpoint"

    def stop_at(stage: str, epoch: int) -> None:
        def progress(name: str, done: int, total: int) -> None:
            if (name, done) == (stage, epoch):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(TASK, CONFIG, progress=progress, checkpoint=path)

    stop_at("float", 2)
    stop_at("ternary", 1)
    calls: list[tuple[str, int, int]] = []
    resumed = train(TASK, CONFIG, progress=lambda *call: calls.append(call), checkpoint=path)
    assert calls == [("ternary", 2, 2)]
    assert to_bundle(resumed, TASK).digest() == whole
    assert [line.epoch for line in resumed.history] == [1, 2, 3, 1, 2]


KILLED = """
import sys
sys.path.insert(0, {root!r})
from tests.s4d.test_bundle import CONFIG, make_task
from imssa_lab.s4d.train.training import train
train(make_task(), CONFIG, checkpoint={path!r}, progress=lambda *call: print(*call, flush=True))
"""


def test_a_kill_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "model.checkpoint"
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(root=root, path=str(path))], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().startswith("float 1")
    child.kill()
    child.wait()
    child.stdout.close()
    resumed, whole = train(TASK, CONFIG, checkpoint=path), train(TASK, CONFIG)
    assert to_bundle(resumed, TASK).digest() == to_bundle(whole, TASK).digest()


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.checkpoint"
    train_float(TASK, CONFIG, checkpoint=path)
    with pytest.raises(TrainingError, match="belongs to another task, seed or configuration"):
        train_float(TASK, CONFIG.model_copy(update={"seed": 6}), checkpoint=path)
    with pytest.raises(TrainingError, match="belongs to another task"):
        train_float(make_task(200), CONFIG, checkpoint=path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match=r"cannot be read .*delete it"):
        train_float(TASK, CONFIG, checkpoint=path)


def test_a_divergence_names_the_epoch_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "model.checkpoint"

    def poison(stage: str, done: int, total: int) -> None:
        if done == 2:
            task.train[0][:] = np.nan

    task = make_task()
    with pytest.raises(TrainingError, match=r"nan in epoch 3 of 3; .*epoch 2 is kept in .*model\.checkpoint"):
        train(task, CONFIG, progress=poison, checkpoint=path)
    kept = torch.load(path, weights_only=True)["stages"]["float"]
    assert len(kept["history"]) == 2
    assert all(values.isfinite().all() for values in kept["network"].values())


def test_patience_ends_a_training_and_goes_back_to_its_best_epoch() -> None:
    config = CONFIG.model_copy(update={"patience": 3, "full": Stage(epochs=40, rate=8e-3, pole_share=0.2)})
    model = train_float(TASK, config)
    accuracies = [line.validation_accuracy for line in model.history]
    assert len(accuracies) < 40
    assert len(accuracies) == accuracies.index(max(accuracies)) + 1 + 3
    assert model.validation_accuracy == max(accuracies)


def test_rounding_alone_leaves_the_float_model_and_tracks_its_ranges() -> None:
    start = train_float(TASK, CONFIG)
    before = {name: values.clone() for name, values in start.network.state_dict().items()}
    rounded = quantise(start, TASK, Precision.parse("8bit, state=10"))
    assert rounded.test_accuracy == pytest.approx(start.test_accuracy, abs=0.03)
    assert rounded.network.layer(0).state_converter.full_scale.min() > 0
    assert all(torch.equal(before[name], values) for name, values in start.network.state_dict().items())


def test_state_and_output_converters_cost_little_at_10_bits_and_much_at_2() -> None:
    start = train_float(TASK, CONFIG.model_copy(update={"full": Stage(epochs=12, rate=8e-3, pole_share=0.2)}))
    fine = quantise(start, TASK, Precision.parse("8bit, state=10, output=10"))
    coarse = quantise(start, TASK, Precision.parse("8bit, state=2, output=2"))
    assert start.test_accuracy > 0.95
    assert fine.test_accuracy > start.test_accuracy - 0.02
    assert coarse.test_accuracy < fine.test_accuracy


def test_a_model_that_loses_its_state_loses_the_task() -> None:
    model = train_float(TASK, CONFIG.model_copy(update={"full": Stage(epochs=12, rate=8e-3, pole_share=0.2)}))
    assert model.test_accuracy > 0.95
    assert accuracy(without_state(model.network), TASK.test) < 0.7


def test_a_net_that_is_taught_follows_the_float_net_and_not_the_labels() -> None:
    start = train_float(TASK, CONFIG.model_copy(update={"full": Stage(epochs=12, rate=8e-3, pole_share=0.2)}))
    inputs, classes = TASK.train
    wrong = replace(TASK, train=(inputs, (classes + 1) % len(TASK.labels)))
    stage = Stage(epochs=12, rate=3e-2, pole_share=0.2, distillation=1.0)
    taught = train_quantised(start, wrong, Precision.parse("3bit"), stage=stage)
    alone = train_quantised(
        start, wrong, Precision.parse("3bit"), stage=stage.model_copy(update={"distillation": 0.0})
    )
    assert taught.test_accuracy > 0.9 > 0.3 > alone.test_accuracy
    assert start.network.layer(0).c.requires_grad, "the teacher is left as it is"


def test_the_distance_from_a_teacher_by_hand() -> None:
    given, taught = torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 0.0]])
    p = 1 / (1 + math.exp(-1.0))  # of the teacher's first class at temperature 2
    assert float(distance_from(taught, given, "classes")) == pytest.approx(4 * (p - (1 - p)) * math.log(p / (1 - p)))
    assert float(distance_from(given, given, "classes")) == pytest.approx(0.0, abs=1e-6)
    assert float(distance_from(taught, given, "values")) == pytest.approx(4.0)


def test_pruning_drops_what_counts_least_and_training_mends_the_rest() -> None:
    model = train_float(TASK, CONFIG.model_copy(update={"full": Stage(epochs=12, rate=8e-3, pole_share=0.2)}))
    layer = model.network.layer(0)
    with torch.no_grad():
        layer.c[:, 0] = 0.0  # state 0 of every kernel says nothing
        model.network.head.weight[:, 3] = 0.0  # and nobody listens to channel 3
        model.network.mixes[0].weight[:, 3] = 0.0
        model.network.layer(1).c[:, 1] = 0.0
    exact = accuracy(model.network, TASK.test)
    slim = prune(model, TASK, states=1)
    assert slim.test_accuracy == pytest.approx(exact, abs=0.006)
    assert slim.config.states == 1
    narrow = prune(model, TASK, channels=4)
    assert narrow.network.architecture.channels == 4
    again = train_quantised(narrow, TASK, Precision.parse("4bit"), stage=Stage(epochs=8, rate=8e-3, pole_share=0.2))
    assert again.test_accuracy > 0.9
    assert kernel_cells(8, 2, 2) == 16 * 50
    assert kernel_cells(4, 1, 2) == 8 * 18


def test_pruning_refuses_what_cannot_be() -> None:
    model = train_float(TASK, CONFIG)
    with pytest.raises(ConfigError, match="has 2; ask for 1 to 2"):
        prune(model, TASK, states=3)
    with pytest.raises(ConfigError, match="prune first"):
        prune(quantise(model, TASK, Precision.parse("ternary")), TASK, states=1)


def test_augmentation_varies_what_the_task_allows_and_no_more() -> None:
    inputs = torch.arange(24.0).reshape(2, 4, 3)
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(augment(inputs, Augmentation(), True, rng), inputs)
    moved = augment(inputs, Augmentation(shift_steps=(1, 1)), True, rng)
    assert torch.equal(moved, inputs.roll(1, 1))
    assert torch.equal(augment(inputs, Augmentation(shift_steps=(1, 3), shift_inputs=2), False, rng), inputs)
    louder = augment(inputs + 1, Augmentation(gain=(0.7, 1.3)), True, rng) / (inputs + 1)
    assert torch.allclose(louder, louder[:, :1, :1].expand_as(louder))
    assert 0.7 <= louder.min() < louder.max() <= 1.3


def test_the_curve_as_csv(tmp_path: Path) -> None:
    history = train_float(TASK, CONFIG).history
    write_history(history, tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "stage,epoch,loss,validation_accuracy"
    assert len(lines) == 4
    with pytest.raises(ConfigError, match="cannot be written"):
        write_history(history, tmp_path / "history.csv")


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "points.jsonl"
    short = {"full": Stage(epochs=2, rate=8e-3, pole_share=0.2), "channels": 6, "states": 1}

    def make(seed: int):
        return digits_first(seed, 128, 64, 64)

    made = sweep_bits("digits-first", make, ["float", "ternary"], [0, 1], store=store, changes=short)
    assert [(point.precision, point.seed) for point in made] == [
        ("float", 0),
        ("float", 1),
        ("ternary", 0),
        ("ternary", 1),
    ]
    assert made[0].cells == 2 * 6 * 2 * 9
    assert made[0].rounded == made[0].trained
    monkeypatch.setattr(bit_sweep, "train_float", None)  # nothing is trained again
    assert sweep_bits("digits-first", make, ["float", "ternary"], [0, 1], store=store, changes=short) == made
    with pytest.raises(ConfigError, match="points of digits-first, not of fsdd-order"):
        sweep_bits("fsdd-order", make, ["float"], [0], store=store)


def test_settings_refuse_unknown_words() -> None:
    with pytest.raises(ValueError, match="chanels"):
        TrainingConfig.model_validate(
            {"chanels": 3, "full": {"epochs": 1, "rate": 1, "pole_share": 1}, "quantised": None}
        )


def test_patience_restores_the_weights_of_the_best_epoch_not_of_the_last(tmp_path: Path) -> None:
    """The net that is returned is, weight for weight, the one that stood at the end of the best epoch."""
    config = CONFIG.model_copy(update={"patience": 3, "full": Stage(epochs=40, rate=8e-3, pole_share=0.2)})
    model = train_float(TASK, config, checkpoint=tmp_path / "whole")
    accuracies = [line.validation_accuracy for line in model.history]
    best = accuracies.index(max(accuracies)) + 1
    assert best < len(accuracies)

    def stop_there(stage: str, done: int, total: int) -> None:
        if done == best:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_float(TASK, config, progress=stop_there, checkpoint=tmp_path / "stopped")
    at_best, last = (
        torch.load(tmp_path / name, weights_only=True)["stages"]["float"]["network"] for name in ("stopped", "whole")
    )
    returned = model.network.state_dict()
    assert all(torch.equal(returned[name], values) for name, values in at_best.items())
    assert not all(torch.equal(returned[name], values) for name, values in last.items())


def test_the_null_control_has_no_memory_after_training_and_the_net_has() -> None:
    """A mean over time of a net without memory cannot depend on the order of the steps."""
    inputs = torch.from_numpy(TASK.test[0])
    shuffled = inputs[:, torch.randperm(inputs.shape[1], generator=torch.Generator().manual_seed(0))]
    changes = {}
    for name, trained in (("null", train_null(TASK, CONFIG)), ("net", train_float(TASK, CONFIG))):
        with torch.no_grad():
            changes[name] = float((trained.network(inputs) - trained.network(shuffled)).abs().max())
    assert changes["null"] < 1e-5
    assert changes["net"] > 0.1


# ---- pruning, on nets of random numbers: what is dropped counts least, and all the rest is kept

FEW = make_task(8)
SMALL = Architecture(inputs=3, classes=2, channels=5, states=3, layers=2)
SILENT = [1, 3]


def drawn() -> TrainedModel:
    """Every number of it is drawn, so that none is what a new net has."""
    rng = torch.Generator().manual_seed(0)
    network = S4DNetwork(SMALL, rng)
    with torch.no_grad():
        for values in (*network.parameters(), *network.buffers()):
            if values.is_floating_point():
                values.copy_(values + 0.2 * torch.rand(values.shape, generator=rng))
    return TrainedModel(network.eval(), Precision(), CONFIG.model_copy(update={"states": 3, "channels": 5}), (), 0, 0)


def with_idle_parts() -> TrainedModel:
    """Nobody listens to two channels, and one state of each kernel says nothing, each time another one."""
    start = drawn()
    with torch.no_grad():
        for weight in (start.network.head.weight, start.network.mixes[0].weight):
            weight[:, SILENT] = 0.0  # type: ignore[index]
        for index in range(2):
            for channel in range(5):
                start.network.layer(index).c[channel, (channel + index) % 3] = 0.0
    return start


@pytest.mark.parametrize(("states", "channels"), [(2, None), (None, 3), (2, 3), (3, 5)])
def test_without_its_idle_parts_a_net_answers_the_same(states: int | None, channels: int | None) -> None:
    start = with_idle_parts()
    slim = prune(start, FEW, states=states, channels=channels)
    kept = slim.network.architecture
    assert (kept.states, kept.channels) == (states or 3, channels or 5)
    assert (slim.config.states, slim.config.channels) == (kept.states, kept.channels)
    inputs = torch.randn(6, 20, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(slim.network(inputs), start.network(inputs), rtol=1e-5, atol=1e-6)
    full = start.network.layer(0).output_converter.full_scale
    rest = [channel for channel in range(5) if channels is None or kept.channels == 5 or channel not in SILENT]
    assert torch.equal(slim.network.layer(0).output_converter.full_scale, full[rest])


def test_strengths_are_sums_of_squares_and_of_norms_of_columns() -> None:
    network = drawn().network
    states, channels = state_strength(network, 1), channel_strength(network)
    c = network.layer(1).c.detach()
    assert states.shape == (5, 3)
    for channel in range(5):
        expected = 0.0
        for index, following in enumerate((network.mixes[0], network.head)):
            column = following.weight[:, channel].tolist()  # type: ignore[index, union-attr]
            expected += abs(network.norm(index).weight[channel].item()) * sum(x * x for x in column) ** 0.5
        assert channels[channel].item() == pytest.approx(expected, rel=1e-6)
        for state in range(3):
            assert states[channel, state].item() == pytest.approx(sum(x * x for x in c[channel, state].tolist()))


@pytest.mark.parametrize("asked", [{"states": 0}, {"states": 4}, {"channels": 0}, {"channels": 6}])
def test_as_many_as_are_there_may_stay_and_at_least_one(asked: dict[str, int]) -> None:
    (name,) = asked
    with pytest.raises(ConfigError, match=f"{name}: this model has {3 if name == 'states' else 5}; ask for 1 to"):
        prune(drawn(), FEW, **asked)
    prune(drawn(), FEW, **{name: 1})


def test_the_cells_of_kernels_are_pairs_of_their_blocks() -> None:
    assert kernel_cells(channels=3, states=2, layers=4) == 4 * 3 * 2 * 25
