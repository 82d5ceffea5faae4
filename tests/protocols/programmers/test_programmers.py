"""What each programmer promises, with the control that shows what would happen without it."""

from collections.abc import Callable

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.contract.hal import CellOutcome, CrossbarArray, FloatArray, Programmer, Pulses, Readout
from protocols.programmers import (
    PROGRAMMERS,
    BothSides,
    GateStart,
    Incremental,
    MvmTuning,
    ResidualPairs,
    SequentialTest,
    WriteVerify,
    combine,
    make_programmer,
    recipe_of,
)
from twin import DigitalTwin, TwinProfile
from twin.relaxation import LogTimeRelaxation

SHAPE = (32, 32)


def profile(sd: float = 0.0, **changes: object) -> TwinProfile:
    """Cells with the scatter of the preset's pulses, white read noise `sd` (S) and nothing else wrong with them."""
    preset = TwinProfile.load("supert-a0-easy")
    noise = {"sd_median": sd, "sd_spread": 0.0, "exponent": 0.0, "flicker": None, "telegraph": None}
    return preset.model_copy(
        update={
            "stuck": preset.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0}),
            "lines": None,
            "overdrive": None,
            "adc": None,
            "read_rate": None,
            "read_noise": preset.read_noise.model_copy(update=noise),
            "columns": preset.columns.model_copy(update={"gain": 1.0, "gain_spread": 0.0, "offset_spread": 0.0}),
            **changes,
        }
    )


def recipe(tolerance: float = 5e-6, **changes: object) -> WriteVerify:
    return WriteVerify.model_validate(
        {
            **TwinProfile.load("supert-a0-easy").recipe.model_dump(),
            "tolerance_in": tolerance,
            "tolerance_out": tolerance,
            "set_voltage": (3.0, 3.0, 1.0),
            "set_gate": (0.4, 1.2, 2 * tolerance / 370e-6),
            "reset_voltage": (0.3, 2.2, 0.05),
            "reset_gate": (5.0, 5.0, 0.5),
            "max_retries": 20,
            "max_steps": 300,
            **changes,
        }
    )


def targets(shape: tuple[int, int] = SHAPE) -> FloatArray:
    return np.random.default_rng(0).uniform(2e-6, 150e-6, shape)


ALL: dict[str, Callable[[WriteVerify], Programmer]] = {
    "hysteretic": lambda r: r,
    "gate-start": lambda r: GateStart(recipe=r),
    "incremental": lambda r: Incremental(recipe=r),
    "both-sides": lambda r: BothSides(recipe=r),
    "mvm-tuning": lambda r: MvmTuning(recipe=r.model_copy(update={"max_steps": 60, "max_retries": 50})),
}


@pytest.mark.parametrize("name", ALL)
def test_cells_end_inside_and_masked_ones_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = DigitalTwin(profile(), SHAPE, seed=1)
    before, touched = twin.cells.conductance.copy(), np.zeros(SHAPE, dtype=int)
    apply = twin.cells.apply

    def watch(pulses: Pulses) -> None:
        nonlocal touched
        touched = touched + pulses.mask
        apply(pulses)

    monkeypatch.setattr(twin.cells, "apply", watch)
    mask = np.random.default_rng(1).random(SHAPE) < 0.5
    report = twin.program_conductances(targets(), mask, ALL[name](recipe()))
    assert np.array_equal(report.pulses, touched)
    assert np.array_equal(twin.cells.conductance[~mask], before[~mask])
    inside = np.abs(twin.cells.conductance - targets())[mask] <= 5e-6
    assert inside.mean() > (0.9 if name == "mvm-tuning" else 0.999)
    assert report.within() == pytest.approx(inside.mean(), abs=1e-9)
    assert np.array_equal(report.selected, mask)
    assert report.seconds == pytest.approx(twin.time)


@pytest.mark.parametrize("name", ALL)
def test_a_dead_chip_is_given_up_within_the_budget(name: str) -> None:
    twin = DigitalTwin(profile(), (16, 16), seed=1)
    twin.cells.stick(np.ones((16, 16), dtype=bool), 2e-6)
    report = twin.program_conductances(np.full((16, 16), 100e-6), None, ALL[name](recipe(pulse_budget=30)))
    assert report.within() == 0.0
    assert report.pulses.max() <= 30
    assert not np.isin(report.outcome, [CellOutcome.REACHED, CellOutcome.NOT_SELECTED]).any()


@pytest.mark.parametrize("name", ALL)
def test_a_budget_of_zero_pulses_nothing(name: str) -> None:
    twin = DigitalTwin(profile(), (16, 16), seed=1)
    before = twin.cells.conductance.copy()
    report = twin.program_conductances(np.full((16, 16), 100e-6), None, ALL[name](recipe(pulse_budget=0)))
    assert report.pulses.sum() == 0
    assert np.array_equal(twin.cells.conductance, before)
    assert report.within() == 0.0


# ---- gate start


def test_gate_start_needs_a_third_of_the_pulses() -> None:
    pulses = []
    for programmer in (recipe(), GateStart(recipe=recipe())):
        twin = DigitalTwin(profile(), SHAPE, seed=1)
        report = twin.program_conductances(targets(), None, programmer)
        assert report.within() == 1.0
        pulses.append(report.pulses.mean())
    assert pulses[1] < 0.5 * pulses[0]


# ---- reading until the decision is closed


class Counting(DigitalTwin):
    """A twin that counts the cells it reads, whatever the programmer reports."""

    cells_read = 0

    def _read_conductances(self, mask: np.ndarray, averages: int) -> Readout:  # type: ignore[type-arg]
        self.cells_read += averages * int(mask.sum())
        return super()._read_conductances(mask, averages)


def test_noisy_verify_tells_luck_from_success() -> None:
    """Noise of half the tolerance; 1,024 cells, so that 94 % has a standard error of 0.75 points."""
    tolerance, inside, reads, flags = 8e-6, [], [], []
    for test in (None, SequentialTest()):
        twin = Counting(profile(tolerance / 2), SHAPE, seed=1)
        programmer = Incremental(recipe=recipe(tolerance, sequential=test, verify_averages=1), epochs=1)
        report = twin.program_conductances(targets(), None, programmer)
        reads.append(twin.cells_read)
        inside.append(np.mean(np.abs(twin.cells.conductance - targets()) <= tolerance))
        flags.append(np.mean(report.outcome == CellOutcome.REACHED) - report.within())
    assert inside[1] >= 0.95
    assert reads[1] <= 2.5 * reads[0]
    assert inside[0] < 0.9  # null control: single reads select lucky ones
    assert flags[0] > 0.05  # and the loop believes them, the report does not


def test_quiet_cells_are_read_twice_at_most() -> None:
    """The first two reads of all show that there is no noise; from then on one read decides."""
    twin = Counting(profile(0.0), SHAPE, seed=1)
    recipe_ = recipe(sequential=SequentialTest(), verify_averages=1)
    report = twin.program_conductances(targets(), None, Incremental(recipe=recipe_, epochs=1))
    plain = Counting(profile(0.0), SHAPE, seed=1)
    plain.program_conductances(targets(), None, Incremental(recipe=recipe(verify_averages=1), epochs=1))
    assert report.within() == 1.0
    assert twin.cells_read == plain.cells_read + SHAPE[0] * SHAPE[1]


# ---- relaxation epochs


def test_epochs_bring_back_what_relaxed_out() -> None:
    law = LogTimeRelaxation(
        kind="log-time",
        t0=1e-3,
        levels=(50e-6,),
        times=(1.0, 100.0),
        shift=((0.0,), (0.0,)),
        core=((3e-6,), (4e-6,)),
    )
    inside = []
    for epochs in (1, 4):
        twin = DigitalTwin(profile(relaxation=law), SHAPE, seed=1)
        programmer = Incremental(recipe=recipe(4e-6), epochs=epochs, wait=100.0)
        twin.program_conductances(targets(), None, programmer)
        twin.wait(100.0)
        inside.append(np.mean(np.abs(twin.cells.conductance - targets()) <= 4e-6))
    assert inside[1] > inside[0] + 0.1


# ---- both sides


def test_both_sides_cancel_the_bias_of_small_steps() -> None:
    small = recipe(8e-6, set_gate=(0.4, 1.2, 0.25 * 8e-6 / 370e-6), reset_voltage=(0.3, 2.2, 0.005), max_steps=600)
    means = []
    for programmer in (small, BothSides(recipe=small)):
        twin = DigitalTwin(profile(), SHAPE, seed=1)
        twin.program_conductances(targets(), None, programmer)
        means.append(np.mean((twin.cells.conductance - targets()) / 8e-6))
    assert means[0] < -0.5  # null control
    assert abs(means[1]) < 0.5 * abs(means[0])


# ---- tuning by products


class NoisyOutputs(CrossbarArray):
    """White noise of `sd` (A) on every current."""

    def __init__(self, array: CrossbarArray, sd: float) -> None:
        super().__init__(array.info.model_copy(update={"adc": None}))
        self._array, self._sd, self._rng = array, sd, np.random.default_rng(3)
        self.vectors = 0

    def _noisy(self, current: FloatArray) -> Readout:
        return Readout(current + self._sd * self._rng.standard_normal(current.shape))

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.vectors += len(voltages)
        return self._noisy(self._array.read_mvm(voltages))

    def _read_conductances(self, mask: np.ndarray, averages: int) -> Readout:  # type: ignore[type-arg]
        self.vectors += averages * int(mask.sum()) // self.info.cols
        read = np.nan_to_num(self._array.read_conductances(mask)) * self.info.read_voltage
        return self._noisy(np.repeat(read[None], averages, axis=0))

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._array.apply_pulses(pulses)

    def _default_programmer(self) -> Programmer:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        self._array.wait(seconds)

    def _time(self) -> float:
        return self._array.time

    def _make_safe(self) -> None: ...

    def _close(self) -> None: ...


def test_tuning_by_products_beats_cells_where_outputs_are_noisy() -> None:
    """2 % of the full scale of products is 25 uS in the read of one cell; both get the same number of vectors."""
    signs, target = np.random.default_rng(5).uniform(-0.2, 0.2, (2000, 32)), targets()
    noise = 0.02 * np.abs(signs @ target).max()
    fine = recipe(2e-6, set_gate=(0.4, 1.0, 0.02), step_back=2, max_retries=50)
    cells = recipe(4e-6, set_gate=(0.4, 1.0, 0.02), step_back=2, averages=10, max_steps=21)
    error, vectors = [], []
    for programmer in (cells, MvmTuning(recipe=fine.model_copy(update={"max_steps": 98}))):
        twin = DigitalTwin(profile(), SHAPE, seed=1)
        array = NoisyOutputs(twin, noise)
        array.program_conductances(target, None, programmer)
        off = twin.cells.conductance - target
        error.append(np.sqrt(np.mean((signs @ (off[:, ::2] - off[:, 1::2])) ** 2)))
        vectors.append(array.vectors)
    assert vectors[1] <= 1.02 * vectors[0]
    assert error[1] < 0.6 * error[0]


# ---- residual pairs


def test_a_second_array_holds_the_remainder() -> None:
    arrays = [DigitalTwin(profile(), SHAPE, seed=seed) for seed in (1, 2)]
    target = targets()
    pairs = ResidualPairs(further=(arrays[1],), programmer=GateStart(recipe=recipe()), scale=16.0)
    reports = pairs.program(arrays[0], target, np.ones(SHAPE, dtype=bool))
    assert len(reports) == 2
    exact = target[:, 0::2] - target[:, 1::2]

    def off(used: list[DigitalTwin]) -> float:
        held = combine([twin.cells.conductance for twin in used], 16.0)
        return float(np.sqrt(np.mean((held - exact) ** 2)))

    assert off(arrays) < 0.1 * off(arrays[:1])
    swapped = [arrays[0], DigitalTwin(profile(), SHAPE, seed=3)]
    assert off(swapped) > 0.5 * off(arrays[:1])  # null control: an array that holds something else does not help
    voltages = np.random.default_rng(2).choice([-0.2, 0.2], (4, 32))
    assert pairs.products(arrays[0], voltages) == pytest.approx(
        voltages @ combine([twin.cells.conductance for twin in arrays], 16.0), rel=1e-6, abs=1e-9
    )


def test_residual_pairs_refuse_half_a_pair() -> None:
    arrays = [DigitalTwin(profile(), SHAPE, seed=seed) for seed in (1, 2)]
    mask = np.ones(SHAPE, dtype=bool)
    mask[0, 0] = False
    with pytest.raises(DeploymentError, match="partner"):
        arrays[0].program_conductances(targets(), mask, ResidualPairs(further=(arrays[1],)))
    assert arrays[0].time == 0.0


# ---- by name


def test_programmers_by_name_start_from_the_chip_s_recipe() -> None:
    own = recipe_of(DigitalTwin("supert-a0-easy", (4, 4)))
    made = make_programmer("gate-start", own, {"tries": 2, "recipe": {"step_back": 3}})
    assert made == GateStart(recipe=own.model_copy(update={"step_back": 3}), tries=2)
    assert make_programmer("hysteretic", own, {"max_steps": 7}) == own.model_copy(update={"max_steps": 7})
    for name in set(PROGRAMMERS) - {"residual"}:
        make_programmer(name, own)
    further = (DigitalTwin("supert-a0-easy", (4, 4)),)
    assert isinstance(make_programmer("residual", own, {"further": further}), ResidualPairs)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("gatestart", {}, "did you mean 'gate-start'"),
        ("gate-start", {"trys": 2}, "trys"),
        ("incremental", {"recipe": {"tolerance_in": -1.0}}, "tolerance_in"),
        ("residual", {}, "needs further arrays .* only a script can give"),
    ],
)
def test_names_and_settings_that_do_not_exist_are_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_programmer(name, recipe(), settings)


def test_a_chip_without_a_recipe_says_so() -> None:
    with pytest.raises(ConfigError, match="no write-verify recipe"):
        recipe_of(DigitalTwin("ideal", (4, 4)))
