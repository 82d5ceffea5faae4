"""Pooling and levelling: by their formulas, the same in torch, numpy and streams, and what they are for."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from imssa_lab.contract.errors import BundleError, ConfigError
from imssa_lab.s4d.bundle import PRIOR_STEPS, KernelBundle, Levelling, Pooling
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import levelled, run_network
from imssa_lab.s4d.model import pooling
from imssa_lab.s4d.model.network import Architecture, S4DNetwork
from imssa_lab.s4d.model.streaming import Stream
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, task_of
from imssa_lab.s4d.train.settings import Stage, TrainingConfig
from imssa_lab.s4d.train.training import train
from trials.tiny import bundle as tiny

STAGE = Stage(epochs=1, rate=5e-3, pole_share=0.2)


def a_task() -> Task:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    sequences = rng.normal(size=(80, 9, 3)) + rng.normal(0, 5, (80, 1, 3))
    sequences[:, 0, 0] += 4.0 * labels
    return task_of("level", sequences, labels)


def test_a_sequence_is_levelled_by_its_own_mean_and_deviation() -> None:
    x = np.random.default_rng(0).normal(3.0, [1.0, 20.0], (4, 50, 2))
    found = levelled(x, "sequence")
    assert found.mean(axis=1) == pytest.approx(0.0, abs=1e-12)
    assert found.std(axis=1) == pytest.approx(1.0)
    assert levelled(5.0 + 3.0 * x, "sequence") == pytest.approx(found), "another level and gain change nothing"
    assert levelled(np.ones((1, 5, 2)), "sequence") == pytest.approx(0.0), "a constant input is not blown up"
    assert np.array_equal(levelled(x, "none"), x)


def test_running_levels_are_causal_and_worked_out_step_by_step() -> None:
    x = np.random.default_rng(1).normal(2.0, 3.0, (2, 30, 1))
    found = levelled(x, "running")
    for t in (0, 1, 7, 29):
        with_prior = np.concatenate([np.repeat([[1.0], [-1.0]], PRIOR_STEPS // 2, axis=0), x[0, : t + 1]])
        assert found[0, t, 0] == pytest.approx((x[0, t, 0] - with_prior.mean()) / with_prior.std())
    later = x.copy()
    later[:, 20:] += 100.0
    assert np.array_equal(levelled(later, "running")[:, :20], found[:, :20])


@pytest.mark.parametrize("how", ["none", "sequence", "running"])
def test_torch_levels_as_numpy_does(how: Levelling) -> None:
    x = np.random.default_rng(2).normal(1.0, 4.0, (3, 25, 2))
    assert pooling.levelled(torch.from_numpy(x), how).numpy() == pytest.approx(levelled(x, how), abs=1e-12)


@pytest.mark.parametrize("how", ["mean", "max", "last"])
@pytest.mark.parametrize("level", ["none", "running"])
def test_a_stream_hears_what_the_whole_network_hears(how: Pooling, level: Levelling) -> None:
    network = S4DNetwork(Architecture(3, 2, 4, 2, 2, pooling=how, levelling=level), torch.Generator().manual_seed(0))
    x = 2.0 + torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1))
    stream = Stream(network)
    for piece in x.split([1, 12, 27], dim=1):
        logits = stream.push(piece)
    assert torch.allclose(logits, network(x), atol=1e-4)


def test_whole_sequences_cannot_be_streamed() -> None:
    network = S4DNetwork(Architecture(3, 2, 4, 2, levelling="sequence"), torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="levelling running to stream"):
        Stream(network)


@pytest.mark.parametrize(("how", "level"), [("max", "sequence"), ("last", "none"), ("mean", "running")])
def test_the_bundle_computes_what_was_trained(how: Pooling, level: Levelling, tmp_path) -> None:
    task = a_task()
    config = TrainingConfig(
        precision=Precision.parse("4bit"),
        channels=4,
        states=1,
        full=STAGE,
        quantised=STAGE,
        pooling=how,
        levelling=level,
    )
    model = train(task, config)
    to_bundle(model, task).save(tmp_path / "b.safetensors")
    bundle = KernelBundle.load(tmp_path / "b.safetensors")
    assert (bundle.pooling, bundle.levelling) == (how, level)
    x = task.test[0].astype(np.float64)
    with torch.no_grad():
        exact = copy.deepcopy(model.network).double().eval()(torch.from_numpy(x)).numpy()
    assert run_network(bundle, x) == pytest.approx(exact, abs=1e-9)
    other = replace(bundle, pooling="mean" if how == "max" else "max")
    assert not np.allclose(run_network(other, x), exact), "null control: pooling matters"
    if level == "sequence":
        assert run_network(bundle, 7.0 + 3.0 * x) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("name", ["pooling", "levelling"])
def test_unknown_kinds_are_refused(name: str) -> None:
    with pytest.raises(BundleError, match=f"{name} 'first'"):
        replace(tiny(), **{name: "first"})


def test_bundles_without_them_are_stored_as_before() -> None:
    assert b"pooling" not in tiny()._bytes()
    assert b"pooling" in replace(tiny(), pooling="max")._bytes()
