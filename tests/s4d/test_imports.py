"""S4D classifiers from elsewhere: equal to the published equations, deployable, quantisable, refused by name."""

import dataclasses
import json
import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from imssa_lab.contract.errors import BundleError, ConfigError
from imssa_lab.mapping import map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.cost import cost
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.imports.imported_model import import_s4d
from imssa_lab.s4d.imports.s4d_arrays import S4DArrays, S4DLayerArrays
from imssa_lab.s4d.imports.s4d_checkpoint import read_s4d_checkpoint
from imssa_lab.s4d.inference import layer_inputs, run_network
from imssa_lab.s4d.model.streaming import Stream
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks.task import Task
from imssa_lab.s4d.train.epochs import one_thread
from imssa_lab.s4d.train.settings import Stage
from imssa_lab.s4d.train.training import quantise, train_null, train_quantised
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from protocols.recurrence import KernelRunner
from trials import published_s4d as published
from trials import tiny
from twin import DigitalTwin

STEPS = 24
TRAIN, TEST = published.labelled(0, 96, STEPS), published.labelled(1, 64, STEPS)
TASK = Task("raised", TRAIN, TEST, TEST, ("first", "second", "third"), "none", "made up")
KINDS = [(before, both, learnt) for before in (False, True) for both in (False, True) for learnt in (False, True)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@cache
def state_of(before: bool, both: bool, learnt: bool) -> published.State:
    state = published.fresh(3, both_ways=both)
    if not learnt:
        return state
    return published.trained(state, torch.from_numpy(TRAIN[0]), torch.from_numpy(TRAIN[1]), before=before)


def saved(state: published.State, path: Path) -> Path:
    torch.save(state, path)
    return path


def imported(state: published.State, folder: Path, before: bool = False) -> KernelBundle:
    arrays = read_s4d_checkpoint(saved(state, folder / "source.pt"), norm="before" if before else "after")
    return to_bundle(import_s4d(arrays, TASK), TASK)


def version_of(path: Path) -> int:
    with safe_open(str(path), framework="np") as file:
        return int(json.loads(file.metadata()["imssa_lab"])["version"])


def test_bundles_of_the_usual_blocks_are_written_as_before(tmp_path: Path) -> None:
    """An imssa_lab that knows version 2 alone still reads them, and refuses the others."""
    tiny.bundle().save(tmp_path / "t.safetensors")
    assert version_of(tmp_path / "t.safetensors") == 2


def source(state: published.State, before: bool) -> np.ndarray:
    return published.logits(state, torch.from_numpy(TEST[0]), before=before).numpy()


@pytest.mark.parametrize(("before", "both", "learnt"), KINDS)
def test_an_import_gives_what_its_source_gives(before: bool, both: bool, learnt: bool, tmp_path: Path) -> None:
    state = state_of(before, both, learnt)
    exact = source(state, before)
    bundle = imported(state, tmp_path, before)
    assert np.abs(run_network(bundle, TEST[0]) - exact).max() < 1e-9  # the bar is 1e-5
    assert np.ptp(exact, axis=0).min() > 0.1, "an output that hardly varies would show nothing"
    if learnt:
        assert bundle.expected_accuracy[0] > 0.8
    bundle.save(tmp_path / "b.safetensors")
    loaded = KernelBundle.load(tmp_path / "b.safetensors")
    assert np.array_equal(run_network(loaded, TEST[0]), run_network(bundle, TEST[0]))
    assert loaded.digest() == bundle.digest()
    assert version_of(tmp_path / "b.safetensors") == 3


@pytest.mark.parametrize("both", [False, True])
def test_an_import_that_is_read_at_its_last_step(both: bool, tmp_path: Path) -> None:
    state = state_of(False, both, False)
    exact = published.logits(state, torch.from_numpy(TEST[0]), last=True).numpy()
    arrays = read_s4d_checkpoint(saved(state, tmp_path / "source.pt"), pooling="last")
    bundle = to_bundle(import_s4d(arrays, TASK), TASK)
    assert np.abs(run_network(bundle, TEST[0]) - exact).max() < 1e-9
    assert np.abs(source(state, False) - exact).max() > 0.1, "null control: pooling matters"
    with pytest.raises(BundleError, match="pooling 'first'"):
        dataclasses.replace(arrays, pooling="first")  # type: ignore[arg-type]


def test_an_import_of_values_gives_them_in_their_unit_and_trains_on(tmp_path: Path) -> None:
    state = state_of(True, False, False)
    train, test = (published.logits(state, torch.from_numpy(x), before=True).numpy() for x in (TRAIN[0], TEST[0]))
    names = ("force", "strain", "heat")
    noise = 0.01 * np.random.default_rng(0).normal(size=test.shape)
    task = Task("v", (TRAIN[0], train), (TEST[0], test + noise), (TEST[0], test + noise), names, "none", "made up")
    model = import_s4d(read_s4d_checkpoint(saved(state, tmp_path / "source.pt"), norm="before"), task)
    assert np.abs(run_network(to_bundle(model, task), TEST[0]) - test).max() < 1e-9
    assert 0.9 < model.test_accuracy < 1.0
    stage = Stage(epochs=3, rate=1e-3, pole_share=0.2)
    rounded = quantise(model, task, Precision.parse("4bit"))
    assert train_quantised(model, task, Precision.parse("4bit"), stage=stage).test_accuracy > rounded.test_accuracy


def test_the_null_control_of_an_import_has_its_blocks_and_no_memory(tmp_path: Path) -> None:
    arrays = read_s4d_checkpoint(saved(state_of(True, True, True), tmp_path / "source.pt"), norm="before")
    model = import_s4d(arrays, TASK)
    config = model.config.model_copy(update={"full": Stage(epochs=2, rate=5e-3, pole_share=0.2)})
    null = train_null(TASK, config, like=model.network).network
    assert null.architecture == dataclasses.replace(model.network.architecture, memory=False)
    seen = torch.from_numpy(TEST[0][:2])
    with torch.no_grad():
        outputs = null.layer(0)(torch.cat([null._before_kernels(0, null.encoder(seen))] * 2, -1))
        changed = seen.clone()
        changed[:, 5] += 1.0
        other = null.layer(0)(torch.cat([null._before_kernels(0, null.encoder(changed))] * 2, -1))
    moved = (outputs != other).any(dim=2)
    assert moved[:, 5].all()
    assert moved.sum() == 2, "a step sees itself alone"


def test_plain_arrays_keep_their_digits_and_their_states() -> None:
    """Float64 that no float32 holds, and layers with different numbers of states."""
    state = {key: value.double() * (1 + 1e-7) for key, value in state_of(False, False, False).items()}
    for part in ("C", "log_A_real", "A_imag"):
        state[f"s4_layers.1.kernel.{part}"] = state[f"s4_layers.1.kernel.{part}"][:, :2]
    held = {key: value.numpy() for key, value in state.items()}
    layers = tuple(
        S4DLayerArrays(
            log_dt=held[f"s4_layers.{n}.kernel.log_dt"],
            log_a_real=held[f"s4_layers.{n}.kernel.log_A_real"],
            a_imag=held[f"s4_layers.{n}.kernel.A_imag"],
            c=held[f"s4_layers.{n}.kernel.C"] @ np.array([1.0, 1.0j]),
            d=held[f"s4_layers.{n}.D"],
            output_weight=held[f"s4_layers.{n}.output_linear.0.weight"][..., 0],
            output_bias=held[f"s4_layers.{n}.output_linear.0.bias"],
            norm_weight=held[f"norms.{n}.weight"],
            norm_bias=held[f"norms.{n}.bias"],
        )
        for n in range(2)
    )
    whole = S4DArrays(
        layers, *(held[f"{part}.{kind}"] for part in ("encoder", "decoder") for kind in ("weight", "bias"))
    )
    bundle = to_bundle(import_s4d(whole, TASK), TASK)
    assert [layer.b.shape[1] for layer in bundle.layers] == [3, 2]
    assert np.abs(run_network(bundle, TEST[0]) - source(state, False)).max() < 1e-9
    wide = to_bundle(import_s4d(dataclasses.replace(whole, norm_eps=0.1), TASK), TASK)
    exact = published.logits(state, torch.from_numpy(TEST[0]), eps=0.1).numpy()
    assert np.abs(run_network(wide, TEST[0]) - exact).max() < 1e-9
    assert np.abs(exact - source(state, False)).max() > 1e-3
    rounded = {key: value.float() for key, value in state.items()}
    assert np.abs(source(state, False) - source(rounded, False)).max() > 1e-8, "null control: the digits count"
    with pytest.raises(BundleError, match="norm 'between'"):
        dataclasses.replace(whole, norm="between")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "relu"},
        {"layer_norm": "before"},
        {"layer_norm_eps": 1e-1},
        {"gate": "none", "mix_weight": np.eye(4), "mix_bias": np.zeros(4)},
        {"layer_norm": "none", "layer_norm_scale": None, "layer_norm_shift": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_block_counts(change: dict[str, Any], tmp_path: Path) -> None:
    """Null control of the test above: another block gives other outputs."""
    state = state_of(False, True, False)
    bundle = imported(state, tmp_path)
    other = dataclasses.replace(bundle, layers=tuple(dataclasses.replace(layer, **change) for layer in bundle.layers))
    assert np.abs(run_network(other, TEST[0]) - source(state, False)).max() > 1e-3


def test_the_end_counts_in_both_directions_alone(tmp_path: Path) -> None:
    """One direction hears nothing of later steps; a source of two directions does, and so does its bundle."""
    moved = np.array(TEST[0])
    moved[:, -1] += 1.0
    for both in (False, True):
        bundle = imported(state_of(False, both, False), tmp_path)
        first = layer_inputs(bundle, TEST[0])[1] - layer_inputs(bundle, moved)[1]
        assert (np.abs(first[:, 0, :4]).max() > 1e-6) == both


@pytest.mark.parametrize(("before", "both"), [(False, False), (True, True)])
def test_on_an_ideal_array_it_is_the_software(before: bool, both: bool, tmp_path: Path) -> None:
    bundle = imported(state_of(before, both, True), tmp_path, before)
    inputs = TRAIN[0].astype(np.float64)  # ranges are those of the training sequences: nothing saturates
    with DigitalTwin("ideal", (64, 64), seed=0) as first, DigitalTwin("ideal", (64, 64), seed=1) as second:
        mapping = map_bundle(bundle, first.info.shape, first.info.window, 2)
        for number, array in enumerate((first, second)[: mapping.arrays]):
            array.program_conductances(*mapping.target(number))
        got = run_network(bundle, inputs, KernelRunner([first, second], mapping))
    exact = run_network(bundle, inputs)
    assert np.abs(got - exact).max() <= 1e-6 * np.abs(exact).max()


def test_a_deployment_of_it_is_verified(tmp_path: Path) -> None:
    bundle = imported(state_of(True, True, True), tmp_path, before=True)
    inputs = TRAIN[0].astype(np.float64)
    sequences = Sequences(inputs[:32], inputs, run_network(bundle, inputs).argmax(axis=1))
    with DigitalTwin("ideal", (64, 64), seed=0) as first, DigitalTwin("ideal", (64, 64), seed=1) as second:
        done = deploy(bundle, [first, second], sequences)
    assert done.passed, str(done)
    assert len(done.kernel_nrmse) == 2 * 8


@pytest.mark.parametrize("both", [False, True])
def test_it_is_rounded_and_trained_on_like_any_other(both: bool, tmp_path: Path) -> None:
    arrays = read_s4d_checkpoint(saved(state_of(False, both, True), tmp_path / "source.pt"))
    model = import_s4d(arrays, TASK)
    rounded = quantise(model, TASK, Precision.parse("8bit, state=8"))
    tuned = train_quantised(model, TASK, Precision.parse("4bit"), stage=Stage(epochs=2, rate=2e-3, pole_share=0.2))
    for each in (rounded, tuned):
        bundle = to_bundle(each, TASK)
        assert bundle.activation_bits == 8
        with torch.no_grad():
            exact = each.network.double().eval()(torch.from_numpy(TEST[0]).double()).numpy()
        assert np.abs(run_network(bundle, TEST[0]) - exact).max() < 1e-9
    assert rounded.test_accuracy > model.test_accuracy - 0.1
    kept = run_network(to_bundle(model, TASK), TEST[0])
    assert np.abs(kept - source(state_of(False, both, True), False)).max() < 1e-9, "the model stays as it is"


def test_what_it_costs_is_counted(tmp_path: Path) -> None:
    """H = 4, N = 3, two layers, 3 inputs, 3 classes, a mix of 8 outputs in each."""
    one, two = (cost(imported(state_of(False, both, False), tmp_path)) for both in (False, True))
    around = 4 * 4 + 2 * (8 * 4 + 8) + 5 * 3 + 2 * 8
    assert (one.parameters, two.parameters) == (around + 2 * 4 * 14, around + 2 * 8 * 14)
    assert one.digital_macs == 3 * 4 + 2 * 32 + 2 * 4
    assert (one.kernel_macs, two.kernel_macs) == (2 * 4 * 25, 2 * 8 * 25)


def test_a_stream_is_refused_where_the_end_is_needed(tmp_path: Path) -> None:
    models = {
        both: import_s4d(read_s4d_checkpoint(saved(state_of(True, both, False), tmp_path / "s.pt")), TASK).network
        for both in (False, True)
    }
    pieces = torch.from_numpy(TEST[0]).double().split([1, 5, 18], dim=1)
    stream = Stream(models[False])
    for piece in pieces:
        logits = stream.push(piece)
    assert torch.allclose(logits, models[False](torch.cat(pieces, 1)), atol=1e-9)
    with pytest.raises(ConfigError, match="from their end"):
        Stream(models[True])


def test_poles_too_slow_are_named_and_not_moved(tmp_path: Path) -> None:
    state = published.fresh(3)
    state["s4_layers.1.kernel.log_A_real"][2, 1] = -9.0
    arrays = read_s4d_checkpoint(saved(state, tmp_path / "slow.pt"))
    radius = arrays.layers[1].radii()[2, 1]
    with pytest.raises(BundleError, match=rf"1 of 24 poles.*layer 1, channel 2, state 1: {radius:.7g}.*not moved"):
        import_s4d(arrays, TASK)
    bundle = to_bundle(import_s4d(arrays, TASK, r_max=0.999999), TASK)
    assert np.abs(run_network(bundle, TEST[0]) - source(state, False)).max() < 1e-9
    with pytest.raises(ConfigError, match=r"r_max 1\.0"):
        import_s4d(arrays, TASK, r_max=1.0)


@pytest.mark.parametrize("wrap", ["model", "state_dict", "module.", "model."])
def test_wrapped_checkpoints_are_read(wrap: str, tmp_path: Path) -> None:
    state = published.fresh(3)
    held = {wrap + key: value for key, value in state.items()} if wrap.endswith(".") else {wrap: state, "epoch": 7}
    got = read_s4d_checkpoint(saved(held, tmp_path / "w.pt"))  # type: ignore[arg-type]
    exact = read_s4d_checkpoint(saved(state, tmp_path / "s.pt"))
    assert np.array_equal(got.layers[1].c, exact.layers[1].c)
    assert np.array_equal(got.decoder_weight, exact.decoder_weight)


WRONG: dict[str, tuple[Any, str]] = {
    "newer": ({"s4_layers.0.kernel.B": torch.ones(4, 3, 2)}, "kernel.B: no such keys.*B is an input matrix"),
    "another": ({"s4_layers.1.kernel.inv_dt": torch.ones(4)}, "inv_dt is the step of a later layout"),
    "batch norm": ({"norms.0.running_mean": torch.ones(4)}, "a batch norm instead of a layer norm"),
    "missing": ({"norms.1.bias": None, "decoder.bias": None}, "decoder.bias, norms.1.bias are missing"),
    "shape": ({"s4_layers.0.D": torch.ones(5)}, r"d must be finite and of shape \(4,\), got shape \(5,\)"),
    "NaN": ({"encoder.weight": torch.full((4, 3), torch.nan)}, "encoder_weight must be finite"),
    "map": (
        {"s4_layers.1.output_linear.0.weight": torch.ones(12, 4, 1)},
        r"\(8, 4\) or \(4, 4\), got shape \(12, 4\)",
    ),
    "parts": ({"s4_layers.0.kernel.C": torch.ones(4, 3)}, "real and imaginary parts come last"),
    "mixed": ({"s4_layers.1.kernel.C": torch.ones(2, 4, 3, 2)}, "layer 1 differs from layer 0 in its directions"),
    "classes": ({"decoder.weight": torch.ones(5, 4), "decoder.bias": torch.ones(5)}, "5 classes, task raised has"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_and_newer_checkpoints_are_named(case: str, tmp_path: Path) -> None:
    changes, says = WRONG[case]
    state = {key: value for key, value in (published.fresh(3) | changes).items() if value is not None}
    with pytest.raises(BundleError, match=says):
        import_s4d(read_s4d_checkpoint(saved(state, tmp_path / "wrong.pt")), TASK)


class Planted:
    """What a file may try to run when it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.mkdir, (Path("planted"),))  # type: ignore[return-value]


def test_files_that_would_run_code_or_hold_no_state_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Planted()}, "code.pt")
    Path("plain.pkl").write_bytes(pickle.dumps(Planted()))
    Path("text.pt").write_text("no checkpoint", encoding="utf-8")
    torch.save([1, 2], "list.pt")
    torch.save({}, "empty.pt")
    torch.save({"weight": torch.ones(3)}, "other.pt")
    for name, says in (
        ("code.pt", "without running code"),
        ("plain.pkl", "without running code"),
        ("text.pt", "without running code"),
        ("list.pt", "holds no state_dict"),
        ("empty.pt", "holds no state_dict"),
        ("other.pt", "weight: no such keys"),
        ("nowhere.pt", "no such file"),
    ):
        with pytest.raises(BundleError, match=says):
            read_s4d_checkpoint(name)
    assert not Path("planted").exists()
