"""The pulse response of cells, their spread and their faults, against published sweeps and exact laws."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from imssa_lab.contract.hal import Limits, PulseKind, PulseLimits, Pulses
from twin import DigitalTwin, TwinProfile
from twin.cells import Cells, CellSections, Nonlinearity
from twin.chip_faults import DeadLines, StuckCells, WeakCells
from twin.device_spread import DeviceSpread
from twin.pulse_response import Forming, Overdrive
from twin.wires.nodal import CubicCells, solve
from twin.wires.wire_resistance import Wires

BOARD = TwinProfile.load("supert-a0")
PLAIN = TwinProfile.load("ideal")


def changed(profile: TwinProfile, **sections: Any) -> TwinProfile:
    """The profile with keys of sections, or whole sections, replaced."""
    return profile.model_copy(
        update={
            name: getattr(profile, name).model_copy(update=value) if isinstance(value, dict) else value
            for name, value in sections.items()
        }
    )


def cells(kind: CellSections, shape: tuple[int, int] = (100, 100), seed: int = 0) -> Cells:
    devices, cycles = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    return Cells(kind, shape, devices, cycles)


TYPICAL = changed(
    BOARD,
    set={"device_spread": 0.0, "slope_spread": 0.0, "cycle_spread": 0.0},
    reset={"device_spread": 0.0, "floor_spread": 0.0, "cycle_spread": 0.0},
    stuck={"on_fraction": 0.0, "off_fraction": 0.0},
    lines=None,
)


def pulse(shape: tuple[int, int], kind: str, voltage: float, gate: float, width: float) -> Pulses:
    return Pulses.on(np.ones(shape, dtype=bool), kind, voltage, gate, width)


def sweep(start: float, kind: str, voltages: list[float], gate: float, width: float) -> np.ndarray:
    cell = cells(TYPICAL, (1, 1))
    cell.conductance = np.array([[start]])
    seen = []
    for voltage in voltages:
        cell.apply(pulse((1, 1), kind, voltage, gate, width))
        seen.append(float(cell.conductance[0, 0]))
    return np.array(seen) * 1e6


def test_set_follows_the_published_sweep() -> None:
    """Gate 1.5 V, 1 ms, from 115 uS, A0_DUT @ b10f97f; the cells of one board differ by 20 % and more."""
    published = np.array([153, 266, 320, 351, 406, 421])
    got = sweep(115e-6, "SET", [0.6, 0.7, 0.8, 0.9, 1.0, 1.3], 1.5, 1e-3)
    assert np.max(np.abs(got / published - 1)) < 0.3


def test_reset_follows_the_published_sweep() -> None:
    """Gate 5 V, 10 us, from 406 uS, A0_DUT @ b10f97f."""
    published = np.array([249, 143, 106, 82, 62, 51])
    got = sweep(406e-6, "RESET", [0.8, 0.9, 1.0, 1.2, 1.3, 1.4], 5.0, 10e-6)
    assert np.max(np.abs(np.log(got / published))) < np.log(1.4)


def test_gate_limits_set_and_longer_pulses_reset_deeper() -> None:
    weak, strong = (sweep(2e-6, "SET", [2.0], gate, 1e-6)[0] for gate in (0.5, 1.0))
    assert weak < 0.4 * strong
    short, long = (sweep(150e-6, "RESET", [1.0], 5.0, width)[0] for width in (10e-6, 10e-3))
    assert long < 0.8 * short


def test_reset_needs_the_transistor_open() -> None:
    assert sweep(150e-6, "RESET", [1.5], 1.0, 1e-3)[0] == pytest.approx(150.0)


def test_set_stops_at_the_ceiling_and_reset_at_the_floor() -> None:
    kind = changed(TYPICAL, set={"ceiling": 90e-6}, reset={"floor": 5e-6})
    some = cells(kind, (3, 3))
    some.apply(pulse((3, 3), "SET", 3.0, 1.4, 1e-6))
    assert some.conductance == pytest.approx(90e-6)
    some.apply(pulse((3, 3), "RESET", 3.0, 5.0, 1e-1))
    assert some.conductance == pytest.approx(5e-6)


# ---- spread from cell to cell and from pulse to pulse


def test_spread_between_cells_and_between_pulses_are_apart() -> None:
    """Repeated full SET pulses: variance components of ln G are those asked, 100 x 100 cells, 40 cycles.

    Standard errors: 0.7 % of the sd between cells, 0.1 % of that between pulses.
    """
    kind = changed(BOARD, lines=None, stuck={"on_fraction": 0.0, "off_fraction": 0.0}, devices=DeviceSpread())
    some = cells(kind)
    seen = []
    for _ in range(40):
        some.conductance = np.full((100, 100), 2e-6)
        some.apply(pulse((100, 100), "SET", 3.4, 0.9, 1e-6))
        seen.append(np.log(some.conductance))
    log = np.array(seen)
    within = log.var(axis=0, ddof=1).mean()
    between = log.mean(axis=0).var(ddof=1) - within / 40
    assert np.sqrt(within) == pytest.approx(kind.set.cycle_spread, rel=0.01)
    assert np.sqrt(between) == pytest.approx(kind.set.slope_spread, rel=0.04)


def test_device_parameters_correlate_through_the_common_factor() -> None:
    """Loads a and b: correlation a b, standard error 0.3 % at 1e5 cells; without loads none."""
    spread = DeviceSpread(set_threshold=0.8, set_slope=-0.5, reset_shift=0.6)
    drawn = spread.draw((1000, 100), np.random.default_rng(0))
    got = np.corrcoef([drawn[name].ravel() for name in ("set_threshold", "set_slope", "reset_shift", "floor")])
    loads = np.array([0.8, -0.5, 0.6, 0.0])
    expected = np.outer(loads, loads) * (1 - np.eye(4)) + np.eye(4)
    assert np.abs(got - expected).max() < 0.012
    free = DeviceSpread().draw((1000, 100), np.random.default_rng(0))
    assert abs(np.corrcoef(free["set_threshold"].ravel(), free["reset_shift"].ravel())[0, 1]) < 0.012


@pytest.mark.parametrize(("skew", "tail"), [(0.0, 0.7), (0.4, 1.0), (-0.3, 0.8), (0.0, 1.5)])
def test_marginals_have_the_published_law_with_mean_0_and_sd_1(skew: float, tail: float) -> None:
    """Cumulative distribution of Jones and Pewsey: Phi(sinh(tail asinh x - skew)), x before standardising."""
    spread = DeviceSpread(skew=skew, tail=tail)
    z = spread.marginal(np.random.default_rng(1).standard_normal(200_000))
    assert z.mean() == pytest.approx(0.0, abs=0.01)
    assert z.std() == pytest.approx(1.0, abs=0.015)
    assert stats.kstest(z, stats.norm.cdf).pvalue < 1e-6  # it is not Gaussian
    at = spread.marginal(stats.norm.ppf(np.array([0.01, 0.25, 0.5, 0.75, 0.99])))
    raw = np.sinh((np.arcsinh(stats.norm.ppf([0.01, 0.25, 0.5, 0.75, 0.99])) + skew) / tail)
    slope, offset = np.polyfit(raw, at, 1)
    assert at == pytest.approx(slope * raw + offset, rel=1e-9)
    assert np.mean(z[:, None] <= at, axis=0) == pytest.approx([0.01, 0.25, 0.5, 0.75, 0.99], abs=0.005)
    if skew:
        assert np.sign(stats.skew(z)) == np.sign(skew)
    else:
        assert (stats.kurtosis(z) > 0.3) == (tail < 1)


# ---- forming


def forming_kind(**update: Any) -> TwinProfile:
    form = Forming(voltage=2.5, spread=0.1, pristine=1e-9, formed_fraction=0.0)
    return changed(TYPICAL, forming=form.model_copy(update=update))


def test_only_a_form_pulse_of_the_cells_own_voltage_forms_it() -> None:
    shape = (100, 100)
    some = cells(forming_kind(), shape)
    assert (some.conductance == 1e-9).all()
    for kind, gate in (("SET", 1.4), ("RESET", 5.0)):
        some.apply(pulse(shape, kind, 3.0, gate, 1e-3))
        assert (some.conductance == 1e-9).all()
    some.apply(pulse(shape, "FORM", 2.5, 0.8, 1e-3))
    assert some.formed.mean() == pytest.approx(0.5, abs=0.02)
    assert (some.conductance[~some.formed] == 1e-9).all()
    limit = BOARD.set.slope * (0.8 - BOARD.set.gate_threshold)
    assert some.conductance[some.formed] == pytest.approx(limit, rel=1e-3)  # the gate limits forming too
    some.apply(pulse(shape, "FORM", 3.5, 0.8, 1e-3))
    assert some.formed.mean() > 0.999
    some.apply(pulse(shape, "RESET", 1.4, 5.0, 1e-3))
    assert (some.conductance[some.formed] < 0.4 * limit).all()


def test_some_cells_may_come_formed_and_without_the_section_all_do() -> None:
    assert cells(forming_kind(formed_fraction=0.3)).formed.mean() == pytest.approx(0.3, abs=0.02)
    assert cells(TYPICAL).formed.all()


def test_forming_through_the_contract() -> None:
    pulses = PulseLimits(voltage_max=4.0, gate_max=2.0, width_min=1e-6, width_max=1.0)
    limits = Limits(**{**BOARD.limits.model_dump(), "form": pulses.model_dump()})
    twin = DigitalTwin(forming_kind().model_copy(update={"limits": limits}), (8, 8), seed=1)
    mask = np.eye(8, dtype=bool)
    twin.apply_pulses(Pulses.on(mask, PulseKind.FORM, 3.8, 0.7, 1e-3))
    assert (twin.cells.formed == mask).all()


# ---- faults


def test_stuck_cells_do_not_move_and_are_as_many_as_asked() -> None:
    stuck = StuckCells(
        on_fraction=0.03, off_fraction=0.02, on_conductance=220e-6, on_spread=0.3, off_conductance=0.8e-6
    )
    some = cells(changed(BOARD, stuck=stuck, lines=None), (200, 200))
    assert some.stuck.mean() == pytest.approx(0.05, abs=0.005)
    on = some.conductance[some.stuck & (some.conductance > 10e-6)]
    assert on.size / 40_000 == pytest.approx(0.03, abs=0.004)
    assert np.median(on) == pytest.approx(220e-6, rel=0.05)
    before = some.conductance.copy()
    some.apply(pulse((200, 200), "SET", 3.0, 1.4, 1e-6))
    some.apply(pulse((200, 200), "RESET", 1.2, 5.0, 1e-3))
    still = some.conductance == before
    assert still[some.stuck].all()
    assert still[~some.stuck].mean() < 0.001


def test_limited_cells_stay_in_their_range_and_others_do_not() -> None:
    weak = WeakCells(limited_fraction=0.2, limited_low=20e-6, limited_high=60e-6)
    some = cells(changed(TYPICAL, weak=weak))
    limited = some.faults.limited
    assert limited.mean() == pytest.approx(0.2, abs=0.02)
    some.apply(pulse((100, 100), "SET", 3.0, 1.4, 1e-6))
    assert some.conductance[limited] == pytest.approx(60e-6)
    assert (some.conductance[~limited] > 300e-6).all()
    some.apply(pulse((100, 100), "RESET", 2.5, 5.0, 1e-3))
    assert some.conductance[limited] == pytest.approx(20e-6)
    assert (some.conductance[~limited] < 5e-6).all()


def test_slow_cells_get_there_in_more_pulses() -> None:
    """Each pulse covers the share of what is left: after n pulses 1 - (1 - share)^n of the way."""
    some = cells(changed(TYPICAL, weak=WeakCells(slow_fraction=0.3, slow_share=0.2), fresh={"spread": 0.0}))
    slow = some.faults.slow
    assert slow.mean() == pytest.approx(0.3, abs=0.02)
    start = some.conductance[0, 0]
    for n in range(1, 6):
        some.apply(pulse((100, 100), "SET", 3.4, 0.9, 1e-6))
        aim = some.conductance[~slow][0]
        assert some.conductance[slow] == pytest.approx(start + (1 - 0.8**n) * (aim - start), rel=1e-9)


def test_dead_lines_take_no_pulse_and_show_what_was_asked() -> None:
    lines = DeadLines(
        word_fraction=0.1, word_conductance=88e-6, word_spread=0.3, bit_fraction=0.2, bit_conductance=0.8e-6
    )
    some = cells(changed(TYPICAL, lines=lines), (300, 200))
    words, bits = some.faults.words, some.faults.bits
    assert words.mean() == pytest.approx(0.1, abs=0.06)
    assert bits.mean() == pytest.approx(0.2, abs=0.09)
    assert np.array_equal(some.stuck, words[:, None] | bits)
    some.apply(pulse((300, 200), "SET", 3.0, 1.0, 1e-6))
    assert (some.conductance[:, bits] == 0.8e-6).all()
    assert np.median(some.conductance[words][:, ~bits]) == pytest.approx(88e-6, rel=0.05)
    assert (some.conductance[~words][:, ~bits] > 200e-6).all()


def test_overdrive_sticks_cells_as_often_as_asked_and_for_good() -> None:
    """1 % a pulse at 2.5 V, ten times less 0.3 V below: binomial, 40,000 cells, four standard errors."""
    kind = changed(TYPICAL, overdrive=Overdrive(voltage=2.5, probability=0.01, v_per_decade=0.3, conductance=0.5e-6))
    for voltage, chance in ((2.5, 0.01), (2.2, 0.001), (1.5, 0.0), (3.3, 1.0)):
        some = cells(kind, (200, 200))
        some.apply(pulse((200, 200), "RESET", voltage, 5.0, 1e-3))
        spread = 4 * np.sqrt(chance * (1 - chance) / 40_000)
        assert some.stuck.mean() == pytest.approx(chance, abs=spread + 2e-5)
    some = cells(kind, (200, 200))
    some.apply(pulse((200, 200), "RESET", 2.5, 5.0, 1e-3))
    some.apply(pulse((200, 200), "SET", 3.0, 1.4, 1e-6))
    assert (some.conductance[some.stuck] == 0.5e-6).all()
    some = cells(changed(kind, overdrive=None), (200, 200))
    some.apply(pulse((200, 200), "RESET", 3.0, 5.0, 1e-3))
    assert not some.stuck.any()  # null control


@pytest.mark.parametrize(
    ("section", "bad"),
    [
        (StuckCells, {"on_fraction": 0.6, "off_fraction": 0.6, "on_conductance": 1e-4, "off_conductance": 1e-6}),
        (WeakCells, {"limited_fraction": 0.1, "limited_low": 2e-4, "limited_high": 1e-4}),
        (WeakCells, {"limited_fraction": 0.6, "slow_fraction": 0.6}),
        (DeviceSpread, {"set_slope": 1.5}),
        (Overdrive, {"voltage": 2.0, "probability": 0.0, "v_per_decade": 0.1, "conductance": 1e-6}),
    ],
)
def test_values_that_cannot_be(section: type, bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        section(**bad)


# ---- nonlinear cells


def test_cubic_cells_in_products_and_reads() -> None:
    """I = sum of G V (1 + b V^2), with b falling as 1/G, cell by cell; through wires as the nodal solver says."""
    bend = Nonlinearity(cubic=5.0, reference=50e-6, exponent=1.0)
    rng = np.random.default_rng(0)
    target, drive = rng.uniform(2e-6, 150e-6, (12, 8)), rng.uniform(-0.2, 0.2, (5, 12))
    b = 5.0 * 50e-6 / target
    exact = np.einsum("ni,nij->nj", drive, target * (1 + b * drive[:, :, None] ** 2))
    twin = DigitalTwin(changed(PLAIN, nonlinearity=bend), (12, 8))
    twin.cells.conductance = target
    assert twin.read_mvm(drive) == pytest.approx(exact, rel=1e-12)
    assert np.abs(drive @ target / exact - 1).max() > 0.01  # null control: linear cells are something else
    assert twin.read_conductances() == pytest.approx(target * (1 + b * 0.2**2), rel=1e-12)
    wires = Wires(r_word=2, r_bit=3)
    wired = DigitalTwin(changed(PLAIN, nonlinearity=bend, wires=wires), (12, 8))
    wired.cells.conductance = target
    truth = solve(CubicCells(target, b), wires, drive).current
    assert wired.read_mvm(drive) == pytest.approx(truth, rel=1e-10)


def test_below_what_was_measured_the_bend_grows_no_further() -> None:
    """b = cubic (G/reference)^-exponent has no end at G = 0; a cell of next to nothing would carry any current."""
    law = Nonlinearity(cubic=5.0, reference=50e-6, exponent=2.0, lowest=5e-6)
    twin = DigitalTwin(changed(PLAIN, nonlinearity=law), (1, 3))
    twin.cells.conductance = np.array([[1e-300, 1e-6, 10e-6]])
    assert twin.cells.cubic == pytest.approx(np.array([[500.0, 500.0, 125.0]]))
    assert twin.read_conductances() == pytest.approx(np.array([[21e-300, 21e-6, 60e-6]]), rel=1e-9, abs=1e-20)


def test_same_seed_same_bits_and_reads_do_not_disturb_pulses() -> None:
    first, second, other = (DigitalTwin("supert-a0", (16, 16), seed=seed) for seed in (3, 3, 4))
    first.read_conductances(averages=7)
    first.read_mvm(np.full((5, 16), 0.1))
    for twin in (first, second, other):
        twin.apply_pulses(pulse((16, 16), "SET", 2.0, 0.8, 1e-6))
        twin.apply_pulses(pulse((16, 16), "RESET", 1.0, 5.0, 1e-3))
    assert np.array_equal(first.cells.conductance, second.cells.conductance)
    assert np.array_equal(first.cells.stuck, second.cells.stuck)
    assert not np.array_equal(first.cells.conductance, other.cells.conductance)
