"""Read noise in time: spectra, dwell times, variances and bits, each with a control that fails where it should."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import signal, stats

from imssa_lab.contract import jit
from imssa_lab.contract.array_types import FloatArray
from twin import DigitalTwin, TwinProfile
from twin.fast import compiled_noise
from twin.fast.exact_products import MAGNITUDE_GRID, ExactProduct, grid_below, on_grid
from twin.fluctuators import Fluctuators
from twin.noise import CellNoise, Electronic, Flicker, ReadNoise, Telegraph, time_constants
from twin.profile import Timing

IDEAL = TwinProfile.load("ideal")
QUIET = ReadNoise(reference=50e-6, sd_median=0.0, sd_spread=0.0, exponent=0.5)
FLICKER = Flicker(sd=0.5e-6, spread=0.0, exponent=1.0, fastest=1e-3, resolved=1e-3, slowest=1e4)
needs_numba = pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")
TELEGRAPH = Telegraph(fraction=1.0, depth=0.2, spread=0.0, exponent=1.0, capture=(2.0, 2.0), emission=(0.7, 0.7))


def noisy_twin(noise: ReadNoise, shape: tuple[int, int], seed: int = 0, period: float = 1e-3) -> DigitalTwin:
    """An ideal twin at 50 uS but for its read noise; every read of the array and every product takes `period`."""
    timing = Timing(mvm=period, cell_read=period / (shape[0] * shape[1]), pulse=0.0)
    twin = DigitalTwin(IDEAL.model_copy(update={"read_noise": noise, "timing": timing}), shape, seed)
    twin.cells.conductance = np.full(shape, 50e-6)
    return twin


def traces(twin: DigitalTwin, reads: int) -> FloatArray:
    """Reads of all cells, S, (reads, cells)."""
    values = np.asarray(twin._read_conductances(np.ones(twin.info.shape, dtype=bool), reads).values)
    return values.reshape(reads, -1) / twin.info.read_voltage


def slope(trace: FloatArray, period: float) -> float:
    """Slope of ln PSD over ln f between 0.1 and 100 Hz, from Welch spectra averaged over the cells."""
    frequency, density = signal.welch(trace, 1 / period, nperseg=len(trace) // 2, axis=0)
    chosen = (frequency >= 0.1) & (frequency <= 100.0)
    edges = np.geomspace(0.1, 100.0, 13)
    band = np.digitize(frequency[chosen], edges)
    mean = np.array([density.mean(axis=1)[chosen][band == b].mean() for b in range(1, 13)])
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(mean), 1)[0])


class TestFlicker:
    def test_spectrum_falls_as_one_over_f_over_three_decades(self) -> None:
        """16 cells: the slope has a standard error of about 0.02. White noise has slope 0."""
        noise = QUIET.model_copy(update={"flicker": FLICKER})
        assert slope(traces(noisy_twin(noise, (4, 4)), 30_000), 1e-3) == pytest.approx(-1.0, abs=0.1)
        white = QUIET.model_copy(update={"sd_median": 0.5e-6})
        assert slope(traces(noisy_twin(white, (4, 4)), 30_000), 1e-3) == pytest.approx(0.0, abs=0.1)

    def test_density_is_that_of_the_law(self) -> None:
        """S = sd^2/f, at 1 Hz, in the middle of the range."""
        trace = traces(noisy_twin(QUIET.model_copy(update={"flicker": FLICKER}), (4, 8)), 20_000)
        frequency, density = signal.welch(trace, 1000.0, nperseg=5_000, axis=0)
        near = (frequency > 0.7) & (frequency < 1.4)
        got = (density[near].mean(axis=1) * frequency[near]).mean()
        assert got == pytest.approx(0.25e-12, rel=0.1)  # 32 cells, 4 or more frequencies, 7 segments: 3.5 %

    def test_what_is_not_resolved_is_white_and_the_whole_keeps_its_variance(self) -> None:
        law = FLICKER.model_copy(update={"resolved": 1.0})
        noise = CellNoise(QUIET.model_copy(update={"flicker": law}), (2, 2), *two_streams())
        white = noise.white_variance(np.full((2, 2), 50e-6))
        assert white == pytest.approx(0.25e-12 * math.log(1e3), rel=1e-9)
        trace = np.stack(
            [
                CellNoise(QUIET.model_copy(update={"flicker": law}), (60, 60), *two_streams(seed)).of_cells(
                    np.full((60, 60), 50e-6), 0.2, np.array([0.0])
                )
                for seed in range(5)
            ]
        )
        assert trace.var() == pytest.approx(0.25e-12 * math.log(1e7), rel=0.04)  # 18,000 values: 1 %

    def test_growth_with_conductance(self) -> None:
        g = np.array([0.5e-6, 1e-6, 10e-6, 50e-6])
        power = FLICKER.model_copy(update={"exponent": 0.35}).growth(g, 50e-6)
        assert power == pytest.approx((g / 50e-6) ** 0.35)
        log = FLICKER.model_copy(update={"exponent": None, "vanishes_at": 1e-6}).growth(g, 50e-6)
        assert log == pytest.approx([0.0, 0.0, math.log(10) / math.log(50), 1.0])

    def test_time_constants_fill_the_range(self) -> None:
        constants = time_constants(FLICKER)
        assert len(constants) == 14
        assert constants[0] > 1e-3
        assert constants[-1] < 1e4


class TestTelegraph:
    def test_dwell_times_are_exponential(self) -> None:
        """About 1,800 dwells of each state: KS would find a departure of 0.04. Null: sums of two neighbours."""
        trace = traces(noisy_twin(QUIET.model_copy(update={"telegraph": TELEGRAPH}), (2, 2), 3, 5e-3), 250_000)
        for trapped, mean in ((False, 2.0), (True, 0.7)):
            dwells = []
            for column in trace.T:
                state = column < (column.min() + column.max()) / 2
                edges = np.flatnonzero(np.diff(state.astype(int))) + 1
                lengths, kinds = np.diff(edges), state[edges[:-1]]
                dwells.append(lengths[kinds == trapped] * 5e-3)
            dwell = np.concatenate(dwells) + np.random.default_rng(0).uniform(-2.5e-3, 2.5e-3, sum(map(len, dwells)))
            assert dwell.mean() == pytest.approx(mean, rel=0.1)
            assert stats.kstest(dwell, "expon", args=(0, dwell.mean())).pvalue > 0.01
            pairs = dwell[: len(dwell) // 2 * 2].reshape(-1, 2).sum(axis=1)
            assert stats.kstest(pairs, "expon", args=(0, pairs.mean())).pvalue < 1e-6

    def test_two_levels_a_step_apart_and_no_shift_of_the_mean(self) -> None:
        trace = traces(noisy_twin(QUIET.model_copy(update={"telegraph": TELEGRAPH}), (10, 10), 1, 1.0), 3000)
        levels = np.unique(np.round(trace, 12))
        assert len(levels) == 2
        assert math.log(levels[1] / levels[0]) == pytest.approx(0.2, rel=1e-6)  # at dwell times of about 1 to 3
        assert trace.mean() == pytest.approx(50e-6, abs=0.03e-6)  # sd 4 uS, about 100,000 independent reads

    def test_relative_step_is_larger_at_low_conductance(self) -> None:
        noise = CellNoise(QUIET.model_copy(update={"telegraph": TELEGRAPH}), (1, 4), *two_streams())
        g = np.array([[5e-6, 20e-6, 50e-6, 100e-6]])
        reads = noise.of_cells(g, 0.2, np.arange(0.0, 400.0, 1.0))
        relative = (np.ptp(reads, axis=0) / g)[0]
        assert (np.diff(relative) < 0).all()
        lost, trapped = -np.expm1(-0.2 * 50e-6 / g[0]), 0.7 / 2.7  # the mean of both levels, by their times, stays G
        assert relative == pytest.approx(lost / (1 - lost * trapped), rel=1e-5)

    def test_the_step_levels_off_where_the_law_says(self) -> None:
        law = TELEGRAPH.model_copy(update={"deepest": 1.0})
        noise = CellNoise(QUIET.model_copy(update={"telegraph": law}), (1, 3), *two_streams())
        g = np.array([[1e-6, 5e-6, 50e-6]])
        reads = (g + noise.of_cells(g, 0.2, np.arange(0.0, 400.0, 1.0)))[:, 0]
        ratio = reads.max(axis=0) / reads.min(axis=0)
        assert np.log(ratio) == pytest.approx([1.0, 1.0, 0.2], rel=1e-6)  # without an end 10, 2 and 0.2

    def test_no_cell_of_the_board_is_noisier_than_the_noisiest_published(self) -> None:
        """4,096 cells of 0 to 98 uS had read sd of up to 14.5 uS; growth without end gave 27 uS and jumps of 750."""
        twin = DigitalTwin("supert-a0", (64, 64), seed=1)
        g = np.tile(np.linspace(0.8e-6, 98e-6, 64), (64, 1))
        reads = twin.noise.of_cells(g, 0.2, np.arange(0.0, 1000.0, 2.5))  # what noise adds
        assert reads.std(axis=0).max() < 18e-6
        assert reads.max() < 60e-6


class TestFluctuators:
    @pytest.mark.parametrize("fluctuators", [3000, 1])
    def test_correlation_is_exponential_by_events_and_by_jumps(self, fluctuators: int) -> None:
        """Steps of 1/20 of the time constant go by single events, steps of 1/2 by jumps: one law."""
        for step in (0.05, 0.5):
            states = Fluctuators(np.ones(3000), np.full(3000, np.nan), np.random.default_rng(fluctuators))
            path = [states.level.copy()]
            for k in range(1, round(2 / step) + 1):
                changed = states.advance(k * step).which
                assert bool((np.diff(changed) > 0).all()) is (step == 0.5)  # a jump asks each in turn
                path.append(states.level.copy())
            for lag in (1, round(1 / step)):
                pairs = np.stack(path)
                got = np.mean(pairs[lag:] * pairs[:-lag])
                assert got == pytest.approx(math.exp(-lag * step), abs=0.07)  # 3 standard errors of the worst
            assert np.var(path[-1]) == pytest.approx(1.0, abs=0.1)

    def test_changes_of_many_instants_are_those_of_one_at_a_time(self) -> None:
        rates = np.geomspace(0.1, 10.0, 200)
        occupancy = np.where(np.arange(200) < 100, np.nan, 0.3)
        one, many = (Fluctuators(rates, occupancy, np.random.default_rng(5)) for _ in range(2))
        times = np.cumsum(np.full(1200, 1e-3))
        changes = many.follow(times)
        level = one.level.copy()
        for now in times:
            one.advance(float(now))
        level[changes.which] = changes.after
        assert changes.which.size > 400  # several for the fast ones, and more than are drawn at a time
        assert np.array_equal(one.level, many.level)
        assert np.array_equal(one.level, level)
        start = Fluctuators(rates, occupancy, np.random.default_rng(5)).level
        assert start + np.bincount(changes.which, changes.after - changes.before, 200) == pytest.approx(one.level)

    def test_first_levels_are_the_same_whenever_they_are_drawn(self) -> None:
        rates, occupancy = np.geomspace(0.1, 10.0, 200), np.where(np.arange(200) < 100, np.nan, 0.3)
        for ahead in (0.5, 1e6):  # by events and by a jump
            early, late = (Fluctuators(rates, occupancy, np.random.default_rng(5)) for _ in range(2))
            assert early.level.size == 200  # drawn before anything happens
            one, other = early.advance(ahead), late.advance(ahead)
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
            assert np.array_equal(early.level, late.level)


class TestVariances:
    def test_noise_of_a_product_is_that_of_its_cells(self) -> None:
        """White noise: 40,000 vectors give each sd to 0.35 %; the law is sum V^2 sd^2."""
        board = TwinProfile.load("supert-a0").read_noise
        noise = CellNoise(board.model_copy(update={"telegraph": None, "flicker": None}), (16, 4), *two_streams(6))
        voltages = np.random.default_rng(0).uniform(-0.2, 0.2, 16)
        conductance = np.random.default_rng(1).uniform(2e-6, 150e-6, (16, 4))
        times = np.arange(40_000.0)
        drawn = noise.of_mvm(conductance, np.tile(voltages, (40_000, 1)), times)
        law = np.sqrt(voltages**2 @ noise.white_variance(conductance))
        assert drawn.std(axis=0) == pytest.approx(law, rel=0.015)
        cellwise = np.einsum("i,nij->nj", voltages, noise.of_cells(conductance, 0.2, times + 1e6))
        assert drawn.std(axis=0) == pytest.approx(cellwise.std(axis=0), rel=0.02)
        added = np.abs(voltages) @ np.sqrt(noise.white_variance(conductance))  # null: sds added up are another law
        assert (added / law > 2).all()

    def test_product_and_cells_see_the_same_slow_state(self) -> None:
        """Without white noise a product is V times what cell reads at the same time see, to the noise's own grid."""
        flicker = FLICKER.model_copy(update={"fastest": 0.1, "resolved": 0.1})
        noise = QUIET.model_copy(update={"flicker": flicker, "telegraph": TELEGRAPH})
        cells, products = (CellNoise(noise, (12, 7), *two_streams(2)) for _ in range(2))
        g = np.random.default_rng(0).uniform(2e-6, 100e-6, (12, 7))
        times = np.cumsum(np.full(500, 2e-3))
        voltages = np.random.default_rng(1).uniform(-0.2, 0.2, (500, 12))
        expected = np.einsum("ni,nij->nj", voltages, cells.of_cells(g, 0.2, times))
        got = products.of_mvm(g, voltages, times)
        assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()

    def test_thermal_and_shot_noise_in_si(self) -> None:
        """100 uS, 0.2 V, 300 K, 1e5 Hz: 4 k T G = 1.657e-24 and 2 e I = 6.409e-24 A^2/Hz, together 4.5 nS of sd."""
        law = Electronic(temperature=300.0, bandwidth=1e5)
        sd = math.sqrt(float(law.variance(np.array(100e-6), 0.2))) / 0.2
        assert sd == pytest.approx(4.49e-9, rel=2e-3)
        noise = CellNoise(QUIET.model_copy(update={"electronic": law}), (8, 3), *two_streams())
        g = np.full((8, 3), 100e-6)
        reads = noise.of_cells(g, 0.2, np.arange(20_000.0))
        assert reads.std() == pytest.approx(sd, rel=0.01)
        voltages = np.array([0.2, -0.1, 0.0, 0.05, 0.0, 0.0, -0.2, 0.1])
        products = noise.of_mvm(g, np.tile(voltages, (20_000, 1)), np.arange(20_000.0))
        exact = math.sqrt(float(law.variance(g[:, 0], voltages).sum()))
        assert products.std() == pytest.approx(exact, rel=0.015)


class TestBits:
    @settings(max_examples=25, deadline=None)
    @given(
        cuts=st.lists(st.integers(1, 59), max_size=6),
        seed=st.integers(0, 3),
        profile=st.sampled_from(["supert-a0-easy", "supert-a0", "busy", "hfox-cmo", "wan-2022"]),
    )
    def test_codes_do_not_depend_on_the_batch(self, cuts: list[int], seed: int, profile: str) -> None:
        one, parts = (any_twin(profile, seed) for _ in range(2))
        low = 0.0 if not one.info.input_signed else -0.2
        voltages = np.random.default_rng(seed).uniform(low, 0.2, (60, 24))
        for twin in (one, parts):
            twin.cells.conductance = np.full((24, 6), 40e-6)
        for pause in (0.0, 3.0, 1e4):
            for twin in (one, parts):
                twin.wait(pause)
            whole = one._read_mvm(voltages)
            pieces = [parts._read_mvm(piece) for piece in np.split(voltages, sorted(set(cuts)))]
            assert np.array_equal(whole.values, np.concatenate([piece.values for piece in pieces]))
        mask = np.random.default_rng(seed).random((24, 6)) < 0.5
        reads = one._read_conductances(mask, 5).values
        apart = np.concatenate([parts._read_conductances(mask, 1).values for _ in range(5)])
        assert np.array_equal(reads, apart)
        assert one.time == parts.time

    def test_same_seed_same_bits_other_seed_others(self) -> None:
        first, again, other = (any_twin("busy", seed)._read_mvm(np.full((40, 24), 0.1)).values for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    @pytest.mark.parametrize("available", [pytest.param(True, marks=needs_numba), False], ids=["numba", "numpy"])
    def test_noise_that_lasts_takes_compiled_loops_only_where_numba_is(
        self, available: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bits are the same either way, but the time is not: no loop of one way may run in the other."""
        monkeypatch.setattr(jit, "AVAILABLE", available)
        loops, used = ("draw_levels", "jump", "move", "plan", "replace"), set()
        for name in loops:
            real = getattr(compiled_noise, name)
            monkeypatch.setattr(
                compiled_noise, name, lambda *given, name=name, real=real: used.add(name) or real(*given)
            )
        noise = CellNoise(QUIET.model_copy(update={"flicker": FLICKER}), (8, 8), *two_streams())
        noise.follow(np.full((8, 8), 50e-6))
        noise.advance(1e-3)  # by single events
        noise.advance(1e3)  # by a jump
        assert used == (set(loops) if available else set())

    def test_sums_of_slices_do_not_depend_on_order_as_others_do(self) -> None:
        """A permutation of the word lines represents any other order of summation."""
        rng = np.random.default_rng(0)
        voltages, g = rng.uniform(-0.2, 0.2, (200, 64)), rng.uniform(2e-6, 150e-6, (64, 64))
        order = rng.permutation(64)
        exact = ExactProduct(g, 0.2).of(voltages)
        assert np.array_equal(exact, ExactProduct(g[order], 0.2).of(np.ascontiguousarray(voltages[:, order])))
        assert not np.array_equal(voltages @ g, np.ascontiguousarray(voltages[:, order]) @ g[order])

    @pytest.mark.parametrize("shape", [(1000, 2), (2, 1000)], ids=["tall", "wide"])
    def test_sums_of_variances_do_not_depend_on_order_either(self, shape: tuple[int, int]) -> None:
        """White noise and shot noise of outputs, by a permutation of the word lines."""
        law = QUIET.model_copy(update={"sd_median": 1e-6, "electronic": Electronic(temperature=300.0, bandwidth=1e9)})
        noise, rng = CellNoise(law, shape, *two_streams(1)), np.random.default_rng(0)
        g, voltages, sums = rng.uniform(2e-6, 150e-6, shape), rng.uniform(-0.2, 0.2, (20, shape[0])), []
        for order in (np.arange(shape[0]), rng.permutation(shape[0])):
            electronic = noise.electronic(g[order])
            assert electronic is not None
            assert noise.variance_on_grid(g[order]) == pytest.approx(noise.white_variance(g[order]), rel=1e-4)
            size = on_grid(np.abs(voltages[:, order]), MAGNITUDE_GRID)
            sums.append((noise.squares(voltages[:, order]), size @ electronic[1]))
        assert all(np.array_equal(one, other) for one, other in zip(*sums, strict=True))

    def test_product_is_true_to_the_last_bits(self) -> None:
        """Against rational numbers: within 2e-15 of the sum of magnitudes, as good as any order in float64."""
        rng = np.random.default_rng(3)
        voltages, g = rng.uniform(-0.2, 0.2, (3, 64)), 10 ** rng.uniform(-8, -3, (64, 5))
        got = ExactProduct(g, 0.2).of(voltages)
        for n in range(3):
            for j in range(5):
                exact = sum(Fraction(voltages[n, i]) * Fraction(g[i, j]) for i in range(64))
                size = float(np.abs(voltages[n]) @ g[:, j])
                assert abs(Fraction(got[n, j]) - exact) < 2e-15 * size

    @given(value=st.floats(-1.0, 1.0), bits=st.integers(2, 40))
    def test_grid(self, value: float, bits: int) -> None:
        grid = grid_below(1.0, bits)
        rounded = float(on_grid(np.array(value), grid))
        assert abs(rounded - value) <= grid / 2
        assert (rounded / grid).is_integer()


class TestBoard:
    """10,000 reads of 4,096 cells programmed to a gradient of 0.8 to 98 uS (digitised histogram of the board)."""

    def test_population_of_read_sd(self) -> None:
        """Mean of four chips of 400 reads; how many cells sit beside a gap of the ADC differs from chip to chip."""
        got = np.mean([read_sd("supert-a0", seed) for seed in range(4)], axis=0)
        assert got == pytest.approx([0.65, 2.4, 4.7, 7.0], rel=0.15)

    def test_it_needs_the_cells_with_two_states(self) -> None:
        board = TwinProfile.load("supert-a0")
        noise = board.read_noise.model_copy(update={"telegraph": None})
        assert read_sd(board.model_copy(update={"read_noise": noise}), 0)[3] < 0.85 * 7.0

    def test_most_of_it_is_white(self) -> None:
        """Averages of ten reads: median 0.20 uS on the board; noise that lasts would leave 0.65."""
        twin = gradient(TwinProfile.load("supert-a0"), 0)
        averaged = np.stack([twin.read_conductances(averages=10) for _ in range(40)]).std(axis=0)
        assert np.median(averaged) * 1e6 == pytest.approx(0.20, rel=0.15)


@pytest.mark.parametrize(
    ("law", "change", "message"),
    [
        (FLICKER, {"resolved": 1e5}, "fastest <= resolved < slowest"),
        (FLICKER, {"vanishes_at": 1e-6}, "either exponent or vanishes_at"),
        (FLICKER, {"exponent": None}, "either exponent or vanishes_at"),
        (TELEGRAPH, {"capture": (3.0, 1.0)}, "shortest <= longest"),
        (TELEGRAPH, {"fraction": 1.2}, "less than or equal to 1"),
    ],
)
def test_sections_that_make_no_sense_are_refused(
    law: Flicker | Telegraph, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        type(law).model_validate({**law.model_dump(), **change})


def two_streams(seed: int = 0) -> tuple[np.random.Generator, np.random.Generator]:
    return np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])


def any_twin(name: str, seed: int) -> DigitalTwin:
    """A preset, or "busy": all kinds of noise at once, fast and slow, no ADC, so that every bit shows."""
    if name != "busy":
        return DigitalTwin(name, (24, 6), seed)
    noise = ReadNoise(
        reference=50e-6,
        sd_median=0.5e-6,
        sd_spread=0.5,
        exponent=0.5,
        flicker=FLICKER.model_copy(update={"spread": 0.5, "fastest": 1e-4}),
        telegraph=TELEGRAPH.model_copy(update={"fraction": 0.5, "capture": (1e-3, 1e2), "emission": (1e-3, 1e2)}),
        electronic=Electronic(temperature=300.0, bandwidth=1e5),
    )
    return DigitalTwin(IDEAL.model_copy(update={"read_noise": noise}), (24, 6), seed)


def gradient(profile: TwinProfile, seed: int) -> DigitalTwin:
    twin = DigitalTwin(profile, (64, 64), seed)
    twin.cells.conductance = np.tile(np.linspace(0.8e-6, 98e-6, 64), (64, 1))
    return twin


def read_sd(profile: TwinProfile | str, seed: int) -> FloatArray:
    """Median, p90, p95 and p99 over the cells of the sd of 400 reads, uS."""
    twin = gradient(profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile), seed)
    reads = np.stack([twin.read_conductances() for _ in range(400)])
    return np.quantile(reads.std(axis=0), [0.5, 0.9, 0.95, 0.99]) * 1e6
