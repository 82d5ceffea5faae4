"""Training, bundles and numpy inference, on trainings of a second or two."""

import copy
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from imssa_lab.contract.errors import BundleError, ConfigError, TrainingError
from imssa_lab.s4d.bundle import KernelBundle, wilson_interval
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import layer_inputs, quantise, run_kernels, run_network
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Augmentation, Task
from imssa_lab.s4d.train.evaluation import predict
from imssa_lab.s4d.train.settings import Stage, TrainingConfig
from imssa_lab.s4d.train.training import TrainedModel, train, train_null

CONFIG = TrainingConfig(
    channels=8,
    states=2,
    full=Stage(epochs=3, rate=8e-3, pole_share=0.2),
    quantised=Stage(epochs=2, rate=2e-2, pole_share=0.5),
    seed=5,
)


def make_task(train_pairs: int = 256) -> Task:
    """Sign of the first step, forgotten by the rest: eight steps of three numbers."""
    rng = np.random.default_rng(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        inputs = rng.standard_normal((count, 8, 3)).astype(np.float32)
        labels = rng.integers(2, size=count)
        inputs[:, 0] += 3 * (2 * labels[:, None] - 1)
        return inputs, labels.astype(np.int64)

    vary = Augmentation(shift_inputs=1, noise=0.1)
    return Task("sign", split(train_pairs), split(64), split(200), ("minus", "plus"), "none", "made here", vary)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task()


@pytest.fixture(
    scope="module",
    params=[
        "float",
        "4bit",
        "ternary",
        "4bit, state=8, output=8",
        "6bit, form=direct, state=9",
        "3bit, step=learned",
    ],
)
def model(request: pytest.FixtureRequest, task: Task) -> TrainedModel:
    return train(task, CONFIG.model_copy(update={"precision": Precision.parse(request.param)}))


@pytest.fixture(scope="module")
def bundle(model: TrainedModel, task: Task) -> KernelBundle:
    return to_bundle(model, task, provenance={"who": "a test"})


def torch_logits(model: TrainedModel, inputs: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    network = copy.deepcopy(model.network).eval().to(dtype)
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(inputs).to(dtype)).numpy())


def test_history_and_progress(task: Task) -> None:
    calls: list[tuple[str, int, int]] = []
    model = train(task, CONFIG, progress=lambda *call: calls.append(call))
    expected = [("float", 1, 3), ("float", 2, 3), ("float", 3, 3), ("ternary", 1, 2), ("ternary", 2, 2)]
    assert calls == expected
    assert [(line.stage, line.epoch) for line in model.history] == [call[:2] for call in expected]
    assert model.history[-1].validation_accuracy == model.validation_accuracy


def test_same_seed_same_bits_and_no_global_randomness(task: Task) -> None:
    before = torch.get_rng_state()
    digests = {to_bundle(train(task, CONFIG), task).digest() for _ in range(2)}
    assert len(digests) == 1
    assert torch.equal(before, torch.get_rng_state())
    other = train(task, CONFIG.model_copy(update={"seed": 6}))
    assert to_bundle(other, task).digest() not in digests


def test_null_control_has_no_memory(task: Task) -> None:
    bundle = to_bundle(train_null(task, CONFIG), task)
    inputs = task.test[0]
    assert all(not layer.c.any() for layer in bundle.layers)
    shuffled = inputs[:, np.random.default_rng(1).permutation(inputs.shape[1])]
    assert np.allclose(run_network(bundle, inputs), run_network(bundle, shuffled))


def test_a_net_with_memory_minds_the_order(model: TrainedModel, bundle: KernelBundle, task: Task) -> None:
    """The null control of the test above."""
    inputs = task.test[0]
    assert not np.allclose(run_network(bundle, inputs), run_network(bundle, inputs[:, ::-1]))


def test_diverged_training_names_the_epoch(task: Task) -> None:
    broken = dataclasses.replace(task, train=(np.full_like(task.train[0], np.nan), task.train[1]))
    with pytest.raises(TrainingError, match="epoch 1 of 3"):
        train(broken, CONFIG)
    wrong = dataclasses.replace(task, train=(task.train[0], task.train[1] + 5))
    with pytest.raises(TrainingError, match="class number"):
        train(wrong, CONFIG)


def test_numpy_equals_torch(model: TrainedModel, bundle: KernelBundle, task: Task) -> None:
    """To rounding in float64. In float32 a value within 1e-7 of a converter's threshold may take the next code."""
    inputs = task.test[0]
    logits = run_network(bundle, inputs)
    assert np.abs(logits - torch_logits(model, inputs, torch.float64)).max() < 1e-9
    deviation = np.abs(logits - torch_logits(model, inputs, torch.float32))
    assert np.quantile(deviation, 0.95) < 1e-4
    assert (logits.argmax(1) == predict(model.network, inputs)).all()
    correct = np.mean(logits.argmax(1) == task.test[1])
    assert bundle.expected_accuracy[0] == model.test_accuracy == correct
    assert bundle.expected_accuracy[1] < correct <= bundle.expected_accuracy[2]


def test_pluggable_kernels_see_the_layer_inputs(bundle: KernelBundle, task: Task) -> None:
    inputs, seen = task.test[0], []

    def kernels(layer: int, u: np.ndarray) -> np.ndarray:
        seen.append(u)
        return run_kernels(bundle.layers[layer], u)

    assert np.array_equal(run_network(bundle, inputs, kernels), run_network(bundle, inputs))
    for got, expected in zip(seen, layer_inputs(bundle, inputs), strict=True):
        assert np.array_equal(got, expected)
    silent = run_network(bundle, inputs, lambda _, u: np.zeros_like(u))
    assert not np.allclose(silent, run_network(bundle, inputs))
    with pytest.raises(ConfigError, match="layer 0"):
        run_network(bundle, inputs, lambda _, u: np.full_like(u, np.nan))


def test_ranges_hold_on_training_data_and_are_reached(bundle: KernelBundle, task: Task) -> None:
    for layer, u in zip(bundle.layers, layer_inputs(bundle, task.train[0]), strict=True):
        state, states = np.zeros((len(u), *layer.b.shape)), []
        for step in range(u.shape[1]):
            states.append(state)
            state = np.einsum("hnij,bhnj->bhni", layer.transition, state) + layer.b * u[:, step, :, None, None]
        trace = np.stack([*states, state])
        assert np.abs(u).max() == layer.input_range
        if layer.state_bits is not None:
            return  # the converter keeps the range that it was trained with; test_training has that
        assert np.allclose(np.abs(trace).max((0, 1, 3, 4)), layer.state_range)
        assert np.allclose(np.abs(np.diff(trace, axis=0)).max((0, 1, 3, 4)), layer.increment_range)
        assert np.allclose(np.abs(run_kernels(layer, u)).max((0, 1)), layer.output_range)


def test_wrong_inputs_are_refused(bundle: KernelBundle, task: Task) -> None:
    for inputs in (np.zeros((4, 8)), np.zeros((4, 8, 5)), np.zeros((0, 8, 3)), np.full((1, 8, 3), np.nan)):
        with pytest.raises(ConfigError, match="inputs must"):
            run_network(bundle, inputs)


def test_bundle_round_trip(bundle: KernelBundle, task: Task, tmp_path: Path) -> None:
    path = tmp_path / "model.bundle"
    bundle.save(path)
    loaded = KernelBundle.load(path)
    assert loaded.digest() == bundle.digest()
    assert loaded.provenance == bundle.provenance
    assert loaded.provenance["who"] == "a test"
    assert loaded.provenance["seed"] == "5"
    assert loaded.labels == ("minus", "plus")
    assert np.array_equal(run_network(loaded, task.test[0]), run_network(bundle, task.test[0]))
    with pytest.raises(ConfigError, match="not overwritten"):
        bundle.save(path)
    with pytest.raises(ConfigError, match="cannot be written"):
        bundle.save(tmp_path / "missing" / "model.bundle")


def test_damaged_bundles_are_refused(bundle: KernelBundle, tmp_path: Path) -> None:
    path = tmp_path / "model.bundle"
    bundle.save(path)
    content = path.read_bytes()
    for name, length in (("empty", 0), ("header", 100), ("half", len(content) // 2), ("last byte", len(content) - 1)):
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(BundleError, match="truncated"):
            KernelBundle.load(tmp_path / name)
    with pytest.raises(BundleError, match="no such file"):
        KernelBundle.load(tmp_path / "nowhere")


def test_other_versions_and_other_files_are_refused(bundle: KernelBundle, tmp_path: Path) -> None:
    path = tmp_path / "model.bundle"
    bundle.save(path)
    arrays = load_file(path)
    for header, expected in (
        ({"imssa_lab": json.dumps({"version": 99})}, "version 99.*reads versions 2, 3, 4"),
        ({"imssa_lab": json.dumps({"version": 2})}, "header .* damaged"),
        ({"imssa_lab": "{"}, "header .* damaged"),
        ({"somebody": "else"}, "no imssa_lab kernel bundle"),
    ):
        save_file(arrays, tmp_path / "other", metadata=header)
        with pytest.raises(BundleError, match=expected):
            KernelBundle.load(tmp_path / "other")


def test_parts_that_do_not_fit_are_refused(bundle: KernelBundle) -> None:
    layer = bundle.layers[0]
    with pytest.raises(BundleError, match="transition"):
        dataclasses.replace(layer, transition=layer.transition[:, :1])
    with pytest.raises(BundleError, match="finite"):
        dataclasses.replace(layer, c=np.full_like(layer.c, np.inf))
    with pytest.raises(BundleError, match="mix"):
        dataclasses.replace(bundle, layers=bundle.layers[::-1])
    with pytest.raises(BundleError, match="head_bias"):
        dataclasses.replace(bundle, head_bias=np.zeros(7))


def test_wilson_interval_against_a_table() -> None:
    """81 of 263: Newcombe, Statistics in Medicine 17:857 (1998), table I, method 3: 0.2553 to 0.3662."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20)[0] == 0.0
    with pytest.raises(ConfigError, match="0 of 0"):
        wilson_interval(0, 0)


def test_quantise_saturates_on_its_grid() -> None:
    values = quantise(np.array([-9.0, 0.0, 0.6, 1.0, 9.0]), 1.0, 3)
    assert np.allclose(values, [-1, 0, 2 / 3, 1, 1])


def test_bundle_and_inference_import_neither_torch_nor_sklearn() -> None:
    code = (
        "import sys, imssa_lab.s4d, imssa_lab.s4d.bundle, imssa_lab.s4d.inference; "
        "sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
