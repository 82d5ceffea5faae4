"""Nets that give values: scored by hand-worked figures, trained, exported in the unit of the task, and stored."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from imssa_lab.contract.errors import BundleError, ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.model.streaming import Stream
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.pruning import prune
from imssa_lab.s4d.scores import nrmse_of, score, scored
from imssa_lab.s4d.tasks import Task, regression_of
from imssa_lab.s4d.train.baselines import train_baseline
from imssa_lab.s4d.train.bit_sweep import sweep_bits
from imssa_lab.s4d.train.evaluation import predict
from imssa_lab.s4d.train.settings import Stage, TrainingConfig
from imssa_lab.s4d.train.training import TrainedModel, train, train_null
from trials.tiny import bundle as tiny

CONFIG = TrainingConfig(
    precision=Precision.parse("8bit"),
    channels=6,
    states=1,
    layers=1,
    full=Stage(epochs=8, rate=3e-2, pole_share=0.3),
    quantised=Stage(epochs=2, rate=1e-2, pole_share=0.3),
    pooling="last",
    batch=16,
    dt_range=(0.1, 0.6),
)
STEPS = 16


def leak(scale: float = 50.0, offset: float = 1000.0) -> Task:
    """What a leaky integrator holds at the last step, whose input explains a third of its variance alone."""
    x = np.random.default_rng(0).normal(size=(400, STEPS))
    return regression_of("leak", x, offset + scale * (x * 0.8 ** np.arange(STEPS)[::-1]).sum(axis=1))


TASK = leak()


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return train(TASK, CONFIG)


def test_the_score_by_hand() -> None:
    wanted = np.array([[0.0, 10.0], [2.0, 10.0], [4.0, 40.0], [6.0, 40.0]])  # variances 5 and 225
    said = wanted + np.array([[1.0, 0.0], [-1.0, 15.0], [1.0, 0.0], [-1.0, -15.0]])
    assert score(said, wanted) == pytest.approx(1 - (1 / 5 + 112.5 / 225) / 2)
    assert score(np.broadcast_to(wanted.mean(axis=0), wanted.shape), wanted) == pytest.approx(0.0)
    assert scored(wanted, wanted)[:3] == (1.0, 1.0, 1.0)
    assert nrmse_of(score(wanted + np.array([1.0, 0.0]), wanted)) == pytest.approx(np.sqrt(0.1))
    assert score(np.array([0, 1, 1]), np.array([0, 1, 0])) == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match=r"values \[1\] are the same in all 4"):
        score(said, wanted * [1.0, 0.0])


def test_intervals_of_values_cover_the_truth() -> None:
    """Forty devices of eight sequences; some devices are read badly. Counting sequences alone covers too little."""
    rng, trials = np.random.default_rng(1), 400
    units = np.repeat(np.arange(40), 8)
    truth = 1 - 0.3**2 * np.exp(2 * 0.4**2) / (1 + 0.5**2)
    ours = alone = 0
    for _ in range(trials):
        wanted = (0.5 * rng.normal(size=40)[units] + rng.normal(size=320))[:, None]
        bad = np.exp(0.4 * rng.normal(size=40))
        said = wanted + 0.3 * (bad[units] * rng.normal(size=320))[:, None]
        found, naive = scored(said, wanted, units), scored(said, wanted)
        assert found.units == 40
        ours += found.low <= truth <= found.high
        alone += naive.low <= truth <= naive.high
    assert 0.92 <= ours / trials <= 0.98
    assert alone / trials < 0.9, "null control"


def test_intervals_of_pairs_count_what_they_share() -> None:
    """Of a single sequence that comes eight times nothing more is known than of one."""
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(60, 1))
    said, pairs = wanted + 0.3 * rng.normal(size=(60, 1)), np.arange(120).reshape(60, 2)
    once = scored(said, wanted, pairs)
    often = scored(*(np.repeat(each, 8, axis=0) for each in (said, wanted, pairs)))
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.01)
    assert scored(said, wanted).low == pytest.approx(once.low, abs=0.02)
    nothing = scored(said, wanted, np.zeros(60, dtype=int))
    assert nothing[1:] == (-np.inf, 1.0, 1)


def test_a_net_learns_what_needs_memory_and_the_null_control_does_not(model) -> None:
    found = TASK.scored(predict(model.network, TASK.test[0]))
    null = TASK.scored(predict(train_null(TASK, CONFIG).network, TASK.test[0]))
    assert found.value == model.test_accuracy
    assert nrmse_of(found.low) < 0.3
    assert nrmse_of(null.high) > 0.7
    linear = train_baseline("linear", TASK, CONFIG, 50).test
    assert linear.value > 0.999999, "a leaky integrator is linear"
    assert train_baseline("gru", TASK, CONFIG, 100).test.value > 0.5


def test_the_unit_of_the_values_changes_nothing_else(model) -> None:
    other = train(leak(scale=5e-6, offset=-3e-5), CONFIG)
    assert other.test_accuracy == pytest.approx(model.test_accuracy, abs=1e-6)
    same = predict(other.network, TASK.test[0])
    assert (same + 3e-5) / 5e-6 == pytest.approx((predict(model.network, TASK.test[0]) - 1000) / 50, abs=1e-3)


def test_the_bundle_gives_values_in_their_unit(model, tmp_path) -> None:
    made = to_bundle(model, TASK)
    made.save(tmp_path / "b.safetensors")
    bundle = KernelBundle.load(tmp_path / "b.safetensors")
    assert (bundle.goal, bundle.pooling, bundle.labels) == ("values", "last", ("value",))
    given = run_network(bundle, TASK.test[0])
    assert given == pytest.approx(predict(model.network, TASK.test[0]), rel=1e-9)
    value, low, high = bundle.expected_accuracy
    assert value == score(given, TASK.test[1])
    assert low < value < high
    errors = bundle.tolerated_errors
    assert errors is not None
    assert 0 < errors[0] < 0.64
    assert "80 sequences of 80 independent sequences" in bundle.provenance["test"]
    assert np.std(given - 1000) == pytest.approx(np.std(TASK.test[1]), rel=0.2)
    with safe_open(str(tmp_path / "b.safetensors"), framework="np") as file:
        assert json.loads(file.metadata()["imssa_lab"])["version"] == 4


def test_a_stream_gives_the_same_values(model) -> None:
    import torch

    inputs = torch.from_numpy(TASK.test[0][:3])
    stream = Stream(model.network)
    for piece in inputs.split([5, 11], dim=1):
        given = stream.push(piece)
    assert given.numpy() == pytest.approx(predict(model.network, TASK.test[0][:3]), rel=1e-3)


def test_sweeps_of_accuracies_refuse_values() -> None:
    with pytest.raises(ConfigError, match="sweeps compare accuracies"):
        sweep_bits("leak", lambda seed: TASK, ["4bit"], [0])


def test_a_pruned_net_keeps_the_unit() -> None:
    start = train(TASK, CONFIG.model_copy(update={"precision": Precision()}))
    smaller = prune(start, TASK, channels=5)
    assert predict(smaller.network, TASK.test[0]).mean() == pytest.approx(1000, abs=40)


def test_versions_are_the_first_that_can_hold_a_bundle() -> None:
    def version(bundle: KernelBundle) -> bytes:
        return bundle._bytes().partition(b'version\\": ')[2][:1]

    one = replace(tiny(), goal="values", labels=("x", "y"), expected_accuracy=(0.1, -0.5, 0.3))
    assert [version(each) for each in (tiny(), replace(tiny(), pooling="last"), one)] == [b"2", b"4", b"4"]
    assert replace(one, head_weight=np.ones((1, 3)), head_bias=np.ones(1), labels=("x",)).goal == "values"
    for change in ({"goal": "both"}, {"expected_accuracy": (0.1, -0.5, 0.3)}, {"labels": ("x",)}):
        with pytest.raises(BundleError):
            replace(tiny(), **change)  # type: ignore[arg-type]
