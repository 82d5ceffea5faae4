"""Compiled reads have the bits of numpy for any batch and any law, and say so where they do not know one."""

import numpy as np
import pytest

from imssa_lab.contract import jit
from imssa_lab.contract.hal import FloatArray, Pulses
from twin import DigitalTwin, TwinProfile
from twin.cells import Nonlinearity
from twin.fast.chip_reads import CLAIMS
from twin.fast.coverage import not_covered
from twin.fast.normal_stream import NormalStream
from twin.noise import CellNoise, Electronic, Flicker, ReadNoise, Telegraph
from twin.periphery.columns import Columns
from twin.wires.wire_resistance import Wires

pytestmark = pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")
VOLTAGES = np.random.default_rng(0).uniform(-0.2, 0.2, (300, 64))


def pair(profile: TwinProfile, monkeypatch: pytest.MonkeyPatch, seed: int = 3) -> tuple[DigitalTwin, DigitalTwin]:
    """One chip twice: read by compiled loops, and by numpy."""
    short = DigitalTwin(profile, seed=seed)
    with monkeypatch.context() as without:
        without.setattr(jit, "AVAILABLE", False)
        return short, DigitalTwin(profile, seed=seed)


def in_batches(array: DigitalTwin, *sizes: int) -> FloatArray:
    cuts = np.cumsum(sizes)[:-1]
    return np.concatenate([array.read_mvm(part) for part in np.split(VOLTAGES[: sum(sizes)], cuts)])


def plain(**changes: object) -> TwinProfile:
    profile = TwinProfile.load("supert-a0-easy")
    noise = profile.read_noise.model_copy(update={"flicker": None, "telegraph": None, "electronic": None})
    inputs = profile.inputs.model_copy(update={"coding": "analog", "bits": 8, "signed": True})
    assert profile.adc is not None
    adc = profile.adc.model_copy(
        update={"missing": (), "inl": 0.0, "gain_spread": 0.0, "offset_spread": 0.0, "signed": True}
    )
    kept = {"read_noise": noise, "inputs": inputs, "adc": adc, "read_rate": None, "relaxation": None, "wires": None}
    return profile.model_copy(update={**kept, "nonlinearity": None, **changes})


@pytest.mark.parametrize("sizes", [(1,) * 20, (1, 3, 12, 13, 64, 150), (257, 1), (5,)])
def test_same_bits_as_the_long_way(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = pair(plain(), monkeypatch)
    got = in_batches(short, *sizes)
    assert (got == in_batches(long, sum(sizes))).all()
    assert short.time == long.time
    assert not (got == in_batches(DigitalTwin(plain(), seed=4), *sizes)).all()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [4, 10, 16])
def test_converters_of_any_width_saturate_alike(bits: int, signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    adc = plain().adc
    assert adc is not None
    adc = adc.model_copy(update={"bits": bits, "signed": signed, "full_scales": (5e-6, 40e-6), "headroom": 0.8})
    short, long = pair(plain(adc=adc), monkeypatch)
    for array in (short, long):
        array.cells.conductance = np.random.default_rng(1).uniform(2e-6, 150e-6, (64, 64))
    got, wanted = in_batches(short, 1, 99), in_batches(long, 100)
    assert (got == wanted).all()
    assert np.abs(got).max() == pytest.approx(40e-6)  # some saturate


def test_cells_that_moved_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = pair(plain(), monkeypatch)
    before = in_batches(short, 1, 20), in_batches(long, 1, 20)
    for array in (short, long):
        array.cells.conductance[7, 9] += 60e-6
    after = in_batches(short, 1, 20), in_batches(long, 1, 20)
    assert (after[0] == after[1]).all()
    assert np.abs(after[0] - before[0])[:, 9].max() > 3 * np.abs(after[0] - before[0])[:, 10].max()


def test_wires_give_the_same_bits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = plain(wires=Wires(r_word=2.0, r_bit=1.0, r_in=20.0))
    short, long = pair(profile, monkeypatch)
    for array in (short, long):
        array.cells.conductance = np.random.default_rng(1).uniform(2e-6, 150e-6, (64, 64))
    got = in_batches(short, 1, 30, 5)
    assert (got == in_batches(long, 36)).all()
    bare = DigitalTwin(plain(), seed=3)
    bare.cells.conductance = short.cells.conductance
    assert not (got == in_batches(bare, 36)).all()


@pytest.mark.parametrize("signed", [True, False])
def test_cells_read_one_by_one_have_the_same_bits(signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    adc = plain().adc
    assert adc is not None
    short, long = pair(plain(adc=adc.model_copy(update={"signed": signed})), monkeypatch)
    mask = np.random.default_rng(2).random((64, 64)) < 0.5
    for step in range(3):
        got, wanted = (array.read_conductances(mask, 1 + 2 * step) for array in (short, long))
        assert np.array_equal(got, wanted, equal_nan=True)
        again = [array.read_conductances(mask) for array in (short, long)]
        assert not (got == again[0])[mask].all()
        for array in (short, long):
            array.apply_pulses(Pulses.on(mask, "SET", 1.5, 0.6 + 0.2 * step, 1e-5))
    assert (in_batches(short, 5) == in_batches(long, 5)).all()
    assert short.time == long.time


LASTING = {
    "flicker": Flicker(sd=0.2e-6, spread=0.3, exponent=0.5, fastest=1e-6, resolved=1.0, slowest=1e4),
    "telegraph": Telegraph(
        fraction=0.1, depth=0.2, spread=0.5, exponent=0.5, capture=(1e-2, 1.0), emission=(1e-2, 1.0)
    ),
}


@pytest.mark.parametrize("period", [5e-4, 1.0], ids=["few change", "most change"])
def test_noise_that_lasts_has_the_same_bits_compiled(period: float, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = plain(read_noise=plain().read_noise.model_copy(update=LASTING))
    profile = profile.model_copy(update={"timing": profile.timing.model_copy(update={"mvm": period})})
    fast, slow = pair(profile, monkeypatch)
    white = DigitalTwin(plain(), seed=3)
    for array in (fast, slow, white):
        array.cells.conductance = np.random.default_rng(1).uniform(2e-6, 150e-6, (64, 64))
    for sizes in ((1, 1, 3, 200), (300,), (1,) * 9):
        got = in_batches(fast, *sizes)
        assert (got == in_batches(slow, *sizes)).all()
        assert not (got == in_batches(white, *sizes)).all()
        for array in (fast, slow, white):  # refreshes that are planned are of cells that have changed when they come
            array.cells.conductance = 0.9 * array.cells.conductance
    assert np.array_equal(fast.read_conductances(averages=3), slow.read_conductances(averages=3))
    assert not np.array_equal(fast.read_conductances(), fast.read_conductances())


class Humming(ReadNoise):
    """White noise and a hum of the mains, which no fast way of reading knows."""

    hum: float = 0.0


class HummingCells(CellNoise):
    """Adds a microampere to every output."""

    def of_mvm(self, conductance: FloatArray, voltages: FloatArray, times: FloatArray) -> FloatArray:
        return super().of_mvm(conductance, voltages, times) + getattr(self._noise, "hum", 1e-6)


class Dimmed(Columns):
    """A law of its own without a new field."""


def test_a_law_that_the_fast_way_does_not_know_is_seen_by_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a new field, by a subclass of a section, by a subclass of the part that computes it."""
    quiet = plain(read_noise=plain().read_noise.model_copy(update={"sd_median": 0.0}))
    without = in_batches(DigitalTwin(quiet, seed=3), 20)
    humming = quiet.model_copy(update={"read_noise": Humming(**quiet.read_noise.model_dump(), hum=1e-6)})
    with monkeypatch.context() as patched:
        patched.setattr("twin.digital_twin.CellNoise", HummingCells)
        for profile in (humming, quiet):
            louder = in_batches(DigitalTwin(profile, seed=3), 20)
            assert np.median(louder - without) == pytest.approx(1e-6, rel=0.2)
    assert not_covered(humming, CLAIMS) == "profile.read_noise"
    dimmed = quiet.model_copy(update={"columns": Dimmed(**quiet.columns.model_dump())})
    assert not_covered(dimmed, CLAIMS) == "profile.columns"
    assert DigitalTwin(dimmed)._compiled is None


def test_a_field_that_comes_later_is_not_covered_until_it_is_claimed() -> None:
    board = TwinProfile.load("supert-a0")
    noise = board.read_noise.model_copy(update={"electronic": Electronic(temperature=300.0, bandwidth=1e3)})
    sections = {"wires": Wires(r_word=1.0, r_bit=1.0), "nonlinearity": Nonlinearity(cubic=0.5, reference=50e-6)}
    everything = board.model_copy(update={"read_noise": noise, **sections})
    for kind, claims in CLAIMS.items():
        assert set(claims) == set(kind.model_fields)
        for name in claims:
            fewer = {**CLAIMS, kind: {other: claim for other, claim in claims.items() if other != name}}
            missed = not_covered(everything, fewer)
            assert missed is not None
            assert missed.endswith(f".{name}")
    assert not_covered(everything, CLAIMS) is None


def test_following_the_cells_that_moved_is_following_all() -> None:
    """A few cells and then many, beside a chip that has only ever seen the last conductances."""
    profile = TwinProfile.load("supert-a0")
    rng = np.random.default_rng(4)
    step_by_step, at_once = (DigitalTwin(profile, (16, 16), seed=5) for _ in range(2))
    cells = rng.uniform(2e-6, 150e-6, (16, 16))
    for moved in (0.05, 0.1, 0.6, 0.2):  # a fifth: with traps among them, and followed alone
        cells = np.where(rng.random(cells.shape) < moved, rng.uniform(2e-6, 150e-6, cells.shape), cells)
        step_by_step.noise.follow(cells)
    at_once.noise.follow(cells)
    one, other = step_by_step.noise, at_once.noise
    assert np.array_equal(one.white_variance(cells), other.white_variance(cells))
    assert np.array_equal(one.amplitude, other.amplitude)
    assert np.array_equal(one.slow, other.slow)
    assert one.slow.any()


def test_numbers_drawn_ahead_are_those_of_the_generator_in_any_pieces() -> None:
    stream, sizes = NormalStream(np.random.default_rng(8)), [(1, 64)] * 5 + [(250, 64), (30_000,), (7, 64), (3, 5, 9)]
    taken = np.concatenate([stream.take(*size).ravel().copy() for size in sizes])
    assert np.array_equal(taken, np.random.default_rng(8).standard_normal(taken.size))
