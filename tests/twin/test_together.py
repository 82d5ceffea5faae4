"""Many chips read together by torch give the statistics of the plain twins; here on tensors of the processor."""

import numpy as np
import pytest

from imssa_lab.contract.closed_loop import ClosedLoop
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import map_bundle
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.recurrence import banks_by_layer, spreads_of, step_by_step
from tests.twin.test_batches_and_laws import plain
from trials.untrained import untrained_bundle
from twin import DigitalTwin, TwinProfile
from twin.wires.wire_resistance import Wires

torch = pytest.importorskip("torch")
together = pytest.importorskip("twin.fast.many_chips")

BUNDLE = untrained_bundle(channels=3, states=4, layers=1)
WIRES = Wires(r_word=2.0, r_bit=1.0, r_in=20.0)
N, STEPS, CHIPS = 400, 20, 3


def with_noise(share: float, **changes: object) -> TwinProfile:
    """Plain physics with this share of the preset's white noise."""
    profile = plain(**changes)
    noise = profile.read_noise.model_copy(update={"sd_median": share * profile.read_noise.sd_median})
    return profile.model_copy(update={"read_noise": noise})


def chips(profile: TwinProfile) -> list[DigitalTwin]:
    """Chips that hold the bundle with errors of their own; the second one is calibrated."""
    made = []
    for seed in range(CHIPS):
        twin = DigitalTwin(profile, seed=seed)
        target, used = map_bundle(BUNDLE, twin.info.shape, twin.info.window, 1).target(0)
        error = 2e-6 * np.random.default_rng(seed).standard_normal(target.shape)
        twin.cells.conductance = np.where(used, np.abs(np.nan_to_num(target) + error), 2e-6)
        made.append(twin)
    calibrate_columns(made[1])
    return made


def outputs(profile: TwinProfile, averages: int, n: int = N, *, alone: bool) -> FloatArray:
    """Of the same sequence n times on each chip in closed loop, (chips, n, steps, kernels)."""
    twins = chips(profile)
    mapping = map_bundle(BUNDLE, twins[0].info.shape, twins[0].info.window, 1)
    inputs = np.tile(np.random.default_rng(7).uniform(-0.5, 0.5, (1, STEPS, 3)), (n, 1, 1))
    spreads = spreads_of(twins[0].info.input_bits, averages)
    bank = banks_by_layer(twins, mapping)[0][0]
    if alone:
        loop = ClosedLoop([bank.lines], spreads)
        return np.stack([step_by_step(twin, loop, inputs, loop.rest(n))[0] for twin in twins])
    many = together.TwinsTogether(twins, torch.Generator("cpu").manual_seed(1))
    given = torch.as_tensor(np.tile(inputs, (CHIPS, 1, 1, 1)), dtype=torch.float32)
    got: FloatArray = many.run(bank.lines, spreads, given).double().numpy()
    return got


def agree(one: FloatArray, other: FloatArray) -> tuple[bool, bool]:
    """Whether means and whether sds over the sequences agree within their sampling errors.

    At 180 places that are not independent: 4.5 standard errors at the worst, sds together to 3 %.
    """
    sd = np.sqrt((one.var(axis=1) + other.var(axis=1)) / 2)
    apart = np.abs(one.mean(axis=1) - other.mean(axis=1)) / (sd * np.sqrt(2 / N))
    ratio = np.sqrt(np.mean(one.var(axis=1)) / np.mean(other.var(axis=1)))
    return bool(apart.max() < 4.5), bool(abs(ratio - 1) < 0.03)


@pytest.mark.parametrize("averages", [1, 2])
@pytest.mark.parametrize("wires", [None, WIRES], ids=["bare", "wired"])
def test_means_and_sds_are_those_of_the_twins(wires: Wires | None, averages: int) -> None:
    alone = outputs(with_noise(1.0, wires=wires), averages, alone=True)
    many = outputs(with_noise(1.0, wires=wires), averages, alone=False)
    assert agree(alone, many) == (True, True)
    assert agree(alone, many[[1, 2, 0]])[0] is False  # another chip is told
    halved = outputs(with_noise(0.5, wires=wires), averages, alone=False)
    assert agree(alone, halved)[1] is False


@pytest.mark.parametrize("signed", [True, False])
def test_without_noise_the_outputs_are_the_same_to_a_code(signed: bool) -> None:
    """Float32 may take the next code at a threshold, which moves a state by a few parts in a thousand."""
    adc = plain().adc
    assert adc is not None
    profile = with_noise(0.0, wires=None, adc=adc.model_copy(update={"signed": signed}))
    alone, many = (outputs(profile, 1, 1, alone=kind) for kind in (True, False))
    assert np.abs(many - alone).max() < 0.01 * np.abs(alone).max()
    assert np.median(np.abs(many - alone)) < 1e-6 * np.abs(alone).max()
    noisy = outputs(with_noise(1.0, wires=None), 1, 1, alone=False)
    assert np.median(np.abs(noisy - alone)) > 1e-3 * np.abs(alone).max()


def test_chips_that_cannot_be_read_together_are_refused() -> None:
    rng = torch.Generator("cpu")
    with pytest.raises(ConfigError, match="one profile and shape"):
        together.TwinsTogether([DigitalTwin(plain()), DigitalTwin(plain(), (32, 32))], rng)
    with pytest.raises(ConfigError, match="memory or faults"):
        together.TwinsTogether([DigitalTwin("supert-a0")], rng)
