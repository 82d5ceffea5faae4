"""What each level of verification must look at: worst cases, real inputs, and outputs corrected the right way."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import CrossbarArray, FloatArray, Readout
from imssa_lab.mapping import map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels
from imssa_lab.s4d.output_correction import output_correction
from protocols.deployment.verification import Bounds, verify_kernels, verify_mvm
from protocols.recurrence import KernelRunner
from twin import DigitalTwin


class Saturating(DigitalTwin):
    """Bit lines that carry no more than `most` amperes either way."""

    most = np.inf
    largest = 0.0

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        current = super()._read_mvm(voltages).current(self.info.adc)
        self.largest = max(self.largest, float(np.abs(current).max()))
        return Readout(np.clip(current, -self.most, self.most))

    _read_loop = CrossbarArray._read_loop


def test_products_that_fail_only_at_full_drive_fail_the_level(bundle: KernelBundle) -> None:
    """Random vectors never drive all word lines of a column with the signs of its weights; worst-case vectors do."""
    array = Saturating("ideal", seed=0)
    mapping = map_bundle(bundle, array.info.shape, array.info.window, 1)
    array.program_conductances(*mapping.target(0))
    sound = verify_mvm([array], mapping, Bounds(mvm=0.12))
    assert sound.passed
    array.most = 0.5 * array.largest  # the largest current was that of a worst-case vector
    spoilt = verify_mvm([array], mapping, Bounds(mvm=0.12))
    assert spoilt.figures["random_vectors"] < 0.12 < spoilt.figures["worst_case_vectors"]
    assert not spoilt.passed


Kernels = Callable[[int, FloatArray], FloatArray]


@pytest.mark.parametrize("blind_to", ["real inputs", "impulses", None])
def test_kernels_must_be_right_on_impulses_and_on_real_inputs(
    bundle: KernelBundle, sequences: FloatArray, blind_to: str | None
) -> None:
    inputs = layer_inputs(bundle, sequences)

    def runner(layer: int, values: FloatArray) -> FloatArray:
        kind = "impulses" if not values[:, 1:].any() else "real inputs"
        exact = run_kernels(bundle.layers[layer], values)
        return 0.0 * exact if kind == blind_to else exact

    assert verify_kernels(bundle, runner, inputs, Bounds(kernel=0.35, impulse=0.7))[0].passed is (blind_to is None)  # type: ignore[arg-type]


def test_corrected_outputs_are_the_ideal_ones(bundle: KernelBundle, sequences: FloatArray) -> None:
    """A chip whose outputs are off by a gain and an offset a channel, both far from 1 and 0, comes back exactly."""
    values = layer_inputs(bundle, sequences)[0]
    ideal = run_kernels(bundle.layers[0], values)
    rng = np.random.default_rng(3)
    gain, offset = rng.uniform(0.4, 2.5, ideal.shape[-1]), rng.uniform(-2.0, 2.0, ideal.shape[-1])
    measured = gain * ideal + offset
    found_gain, found_offset = output_correction(0, measured, ideal)
    assert found_gain == pytest.approx(1 / gain)
    assert found_offset == pytest.approx(-offset / gain)
    array = DigitalTwin("ideal", seed=0)
    mapping = map_bundle(bundle, array.info.shape, array.info.window, 1)
    array.program_conductances(*mapping.target(0))
    runner = KernelRunner([array], mapping)
    spoilt = runner.raw
    runner.raw = lambda layer, given: gain * spoilt(layer, given) + offset  # type: ignore[method-assign]
    before = np.abs(runner(0, values) - ideal).max()
    runner.recalibrate(0, runner.raw(0, values), ideal)
    assert np.abs(runner(0, values) - ideal).max() < 1e-3 * before


@pytest.mark.parametrize(("spoilt", "passes"), [(0, True), (1, True), (5, False)])
def test_a_few_broken_kernels_fail_the_level_though_the_median_is_exact(
    bundle: KernelBundle, sequences: FloatArray, spoilt: int, passes: bool
) -> None:
    """Of 12 kernels, 6 a layer, the first few of the first layer with the wrong sign."""

    def runner(layer: int, values: FloatArray) -> FloatArray:
        exact = run_kernels(bundle.layers[layer], values)
        exact[..., : spoilt if layer == 0 else 0] *= -1
        return exact

    level, nrmse = verify_kernels(
        bundle,
        runner,
        layer_inputs(bundle, sequences),
        Bounds(kernel=0.35, impulse=0.7),  # type: ignore[arg-type]
    )
    assert level.passed is passes
    assert level.measured == pytest.approx(spoilt / 12)
    assert float(np.median(nrmse)) == 0.0


@pytest.mark.parametrize("broken_on", ["real inputs", "impulses"])
def test_kernels_are_counted_on_real_inputs_and_on_impulses_apart(
    bundle: KernelBundle, sequences: FloatArray, broken_on: str
) -> None:
    """Five of 12 with the wrong sign on one of the two alone: neither median moves."""

    def runner(layer: int, values: FloatArray) -> FloatArray:
        kind = "impulses" if not values[:, 1:].any() else "real inputs"
        exact = run_kernels(bundle.layers[layer], values)
        exact[..., : 5 if layer == 0 and kind == broken_on else 0] *= -1
        return exact

    inputs, bounds = layer_inputs(bundle, sequences), Bounds(kernel=0.35, impulse=0.7)
    level, _ = verify_kernels(bundle, runner, inputs, bounds)  # type: ignore[arg-type]
    assert not level.passed
    assert level.measured == pytest.approx(5 / 12)


def test_bounds_come_from_the_caller_then_from_the_bundle_then_from_constants(bundle: KernelBundle) -> None:
    told = replace(bundle, tolerated_errors=(0.2, 0.4, 0.9))
    usual = {"dense": 0.15, "dense_median": 0.1}
    assert Bounds().of(bundle) == Bounds(mvm=0.12, kernel=0.35, impulse=0.7, **usual)
    assert Bounds().of(told) == Bounds(mvm=0.2, kernel=0.4, impulse=0.9, **usual)
    assert Bounds(mvm=0.1).of(told) == Bounds(mvm=0.1, kernel=0.4, impulse=0.9, **usual)
    dense = Bounds(dense=0.5).of(replace(told, tolerated_dense_errors=(0.3, 0.2)))
    assert (dense.dense, dense.dense_median) == (0.5, 0.2)
    with pytest.raises(ConfigError, match=r"bounds\.of"):
        Bounds().number("kernel")
