import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from twin import DigitalTwin, TwinProfile
from twin.jumping_cells import Stride
from twin.relaxation import LogTimeRelaxation, PowerLawDrift, displacement, fallen, normal_scores, placed
from twin.relaxing_cells import RelaxingCells

LAW = {
    "kind": "log-time",
    "t0": 1e-3,
    "levels": (5e-6, 50e-6, 120e-6),
    "times": (0.01, 1.0, 1e4),
    "shift": ((0.0,) * 3, (-0.1e-6, -0.4e-6, 0.0), (0.2e-6, -1e-6, 0.0)),
    "core": ((0.4e-6,) * 3, (0.5e-6,) * 3, (0.7e-6, 0.9e-6, 0.8e-6)),
    "down": ((0.5e-6, 4e-6, 0.5e-6), (1e-6, 8e-6, 0.8e-6), (2e-6, 15e-6, 1e-6)),
    "down_share": ((0.2,) * 3, (0.3,) * 3, (0.4,) * 3),
    "up": ((0.5e-6, 3e-6, 0.5e-6),) * 3,
    "up_share": ((0.1,) * 3,) * 3,
    "correlation": (0.5, 0.7),
    "knee": 1.0,
}
# Falcone et al. 2025 (arXiv 2502.04524): mean -0.08900206 ln t uS, sd 0.04201137 ln t + 0.41183342 uS
CMO_TIMES = (1.0, 1e9)
CMO = {
    "kind": "log-time",
    "t0": 1e-4,
    "levels": (50e-6,),
    "times": CMO_TIMES,
    "shift": tuple((-0.08900206e-6 * np.log(t),) for t in CMO_TIMES),
    "core": tuple(((0.04201137 * np.log(t) + 0.41183342) * 1e-6,) for t in CMO_TIMES),
}


def after(law, start, waits, cells=20000, seed=1):
    """Conductances of cells left at `start`, S, after waits in s one after another."""
    state = RelaxingCells(
        LogTimeRelaxation.model_validate(law), np.full((1, cells), 1e-6), np.random.default_rng(seed)
    )
    state.notice(np.full((1, cells), start), np.zeros((1, cells), dtype=bool), 0.0)
    now = 0.0
    for wait in waits:
        now += wait
        state.advance(now)
    return state.conductance.ravel()


@pytest.mark.parametrize("start", [5e-6, 45e-6])
def test_ten_and_ninety_seconds_are_a_hundred(start):
    # 20,000 cells a side: a shift of 3 % of an sd is found 9 times in 10 at this level
    together, parted = after(LAW, start, [100.0]), after(LAW, start, [10.0, 90.0], seed=2)
    assert stats.ks_2samp(together, parted).pvalue > 0.01


def test_forgetting_the_past_between_two_waits_would_be_found():
    """Null control: adding a second, independent relaxation of 90 s spreads cells too far."""
    first, second = after(LAW, 45e-6, [10.0]), after(LAW, 45e-6, [90.0], seed=2)
    assert stats.ks_2samp(after(LAW, 45e-6, [100.0], seed=3), first + second - 45e-6).pvalue < 1e-6


def test_published_mean_and_sd_of_cmo():
    error = 1e6 * (after(CMO, 50e-6, [3600.0], cells=200_000) - 50e-6)
    assert error.mean() == pytest.approx(-0.729, abs=0.01)
    assert error.std() == pytest.approx(0.756, rel=0.01)


def test_a_law_starts_from_zero_and_goes_on_beyond_its_last_time():
    """In log-time all but the shares is linear from zero and goes on as it came, a spread if it grew; shares hold."""
    law = LogTimeRelaxation.model_validate(LAW | {"core": ((0.4e-6,) * 3, (0.9e-6,) * 3, (0.7e-6,) * 3)})
    first, middle, last = law.log_time(np.array(law.times))
    coefficients = law.coefficients(np.array([50e-6]))

    def at(s):
        return law.at(coefficients, np.array([s]))[:, 0]

    assert at(0.0) == pytest.approx([0, 0, 0, 0.2, 0, 0.1], abs=1e-12)
    assert at(first / 4) == pytest.approx([0, 0.1e-6, 1e-6, 0.2, 0.75e-6, 0.1], abs=1e-12)
    assert at((middle + last) / 2) == pytest.approx([-0.7e-6, 0.8e-6, 11.5e-6, 0.35, 3e-6, 0.1])
    on = 5.0 / (last - middle)  # five e-folds, of the last interval
    assert at(last + 5.0) == pytest.approx([-1e-6 - 0.6e-6 * on, 0.7e-6, 15e-6 + 7e-6 * on, 0.4, 3e-6, 0.1])


@pytest.mark.parametrize("shares", [(1e-9, 1e-9), (0.3, 0.2)], ids=["Gaussian", "tails"])
def test_scores_are_found_within_twelve_standard_deviations(shares):
    z = np.linspace(-11.9, 11.9, 15)
    law = np.array([[0.1e-6], [1e-6], [2e-6], [shares[0]], [1e-6], [shares[1]]]) * np.ones(z.size)
    assert normal_scores(placed(z, law)[0], law) == pytest.approx(z, abs=1e-6)
    assert normal_scores(np.array([-1.0, 1.0]), law[:, :2]) == pytest.approx([-12.0, 12.0], abs=1e-6)


def test_neighbouring_times_correlate_as_the_law_says():
    state = RelaxingCells(
        LogTimeRelaxation.model_validate(CMO | {"correlation": (0.6,)}),
        np.full((1, 20000), 1e-6),
        np.random.default_rng(0),
    )
    state.notice(np.full((1, 20000), 50e-6), np.zeros((1, 20000), dtype=bool), 0.0)
    state.advance(1.0)
    early = state.conductance.ravel()
    state.advance(1e9)
    assert np.corrcoef(early, state.conductance.ravel())[0, 1] == pytest.approx(0.6, abs=0.02)


JUMPING = {name: value for name, value in LAW.items() if name != "correlation"} | {
    "jumps": ((0.5,) * 3, (0.4,) * 3),
    "wander": ((0.1e-6,) * 3,) * 2,
    "jump_memory": 0.3,
}


def looks(law, start, times, cells=20000, seed=1):
    """Normal scores, and conductances in S, of the same cells at each of the times in s."""
    state = RelaxingCells(
        LogTimeRelaxation.model_validate(law), np.full((1, cells), 1e-6), np.random.default_rng(seed)
    )
    state.notice(np.full((1, cells), start), np.zeros((1, cells), dtype=bool), 0.0)
    for time in times:
        state.advance(time)
        yield state.scores.ravel(), state.conductance.ravel()


@pytest.mark.parametrize(("start", "change"), [(5e-6, {}), (45e-6, {}), (45e-6, {"reach": (0.0, 0.7)})])
def test_cells_that_jump_have_the_marginals_of_their_law_at_every_time(start, change):
    """Whatever the looks before it: jumps, wandering, and room that the later law has leave the score normal."""
    law = JUMPING | change
    for score, _ in looks(law, start, [0.003, 0.07, 1.0, 1e3], cells=4000):
        assert stats.kstest(score, "norm").pvalue > 1e-3
    together, parted = (after(law, start, waits, 4000, seed) for waits, seed in (([30.0], 1), ([3.0, 27.0], 2)))
    assert stats.ks_2samp(together, parted).pvalue > 0.01


def test_most_cells_stand_still_and_a_few_jump():
    """Of cells that do not jump, exp(-jumps), those stay that the wider law has room for, within their wandering."""
    (_, early), (_, late) = looks(JUMPING, 45e-6, [0.01, 1.0], cells=4000)
    still = np.mean(np.abs(late - early) < 3 * 0.1e-6)
    assert 0.7 * np.exp(-0.5) < still < np.exp(-0.5) + 0.05
    (_, early), (_, gaussian) = looks(LAW, 45e-6, [0.01, 1.0])
    assert (
        np.mean(np.abs(gaussian - early) < 3 * 0.1e-6) < 0.5 * still
    )  # null control: a process that moves all a bit


def test_cells_without_room_go_no_further_than_their_reach():
    """Without jumps and wandering: of those that go anywhere, the furthest step is one from core to tail."""
    still = JUMPING | {"jumps": ((0.0,) * 3,) * 2, "wander": ((0.0,) * 3,) * 2}
    furthest = []
    for reach in (0.0, 0.5):
        # less than a stride, so that each cell goes once
        (early, _), (late, _) = looks(still | {"reach": (reach,) * 2}, 45e-6, [0.01, 0.0145], cells=4000)
        moved = np.abs(late - early)
        furthest.append(moved.max())
        assert stats.kstest(late, "norm").pvalue > 1e-3
    assert furthest[0] > 2.0
    assert furthest[1] < 0.5


def test_a_reach_of_nowhere_in_particular_is_the_law_without_one():
    """Null control: two ways to say anywhere have the same law, though not the same bits."""
    one, other = (
        [score for score, _ in looks(JUMPING | change, 45e-6, [0.01, 1.0], cells=4000)]
        for change in ({}, {"reach": (0.0, 0.0)})
    )
    steps = [late - early for early, late in (one, other)]
    assert stats.ks_2samp(*steps).pvalue > 0.01


@pytest.mark.parametrize("first", [7e-3, 12.3e-3, 20e-3, 25e-3])
def test_cells_that_jump_move_on_from_every_moment_at_which_they_look(first, monkeypatch):
    """Where log-times are rounded so that a cell at such a moment seems to be before it, it must move on."""
    law = LogTimeRelaxation.model_validate(JUMPING | {"times": (first, 1.0, 1e4)})
    strides = []

    def counted(*given):
        strides.append(given)
        assert len(strides) < 50, "the cells stand at one moment"
        return Stride(*given)

    monkeypatch.setattr("twin.relaxing_cells.Stride", counted)
    *_, (score, _) = looks(law, 45e-6, [1e6], cells=3)
    assert np.isfinite(score).all()
    assert len(strides) == np.ceil((law.log_time(1e6) - law.log_time(first)) / 0.5)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_a_cell_that_jumps_remembers_where_it_was_as_far_as_the_law_says(memory):
    law = JUMPING | {"jumps": ((60.0,) * 3,) * 2, "wander": ((0.0,) * 3,) * 2, "jump_memory": memory}
    (early, _), (late, _) = looks(law, 45e-6, [0.01, 0.0107])  # a stride of .06, so that .8 of 60/4.5 jumps in one go
    jumped = np.abs(late - early) > 0.05
    assert 0.3 < jumped.mean() < 0.7
    assert np.corrcoef(early[jumped], late[jumped])[0, 1] == pytest.approx(memory, abs=0.06)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wander": None}, "belong together"),
        ({"correlation": (0.5, 0.5)}, "either correlation, or jumps"),
        ({"jumps": ((0.5,) * 3,)}, "jumps needs 2 rows"),
        ({"wander": ((0.5,) * 2,) * 2}, "wander needs 2 rows"),
        ({"jumps": ((-0.5,) * 3,) * 2}, "cannot be negative"),
        ({"reach": (0.5,)}, "reach belongs to jumps, with one value"),
        ({"reach": (0.5, -0.5)}, "reach cannot be negative"),
        ({"core": ((0.0, 1e-6, 1e-6), (0.5e-6,) * 3, (0.7e-6,) * 3)}, "core above zero"),
    ],
)
def test_a_law_of_jumps_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        LogTimeRelaxation.model_validate(JUMPING | change)


@settings(deadline=None, max_examples=60)
@given(
    start=st.floats(1e-7, 2e-4), moved=st.floats(-2e-3, 2e-3), knee=st.floats(0.05, 1.0), more=st.floats(1e-9, 1e-4)
)
def test_no_conductance_reaches_zero_and_the_map_rises_and_inverts(start, moved, knee, more):
    low, high = (fallen(np.array(start), np.array(d), knee) for d in (moved, moved + more))
    assert low >= 0
    assert high >= low
    if low > 1e-12:
        assert displacement(np.array(start), low, knee) == pytest.approx(moved, rel=1e-6, abs=1e-12)


def test_without_the_law_of_falls_low_cells_would_go_below_zero():
    wide = LAW | {"down": ((40e-6,) * 3,) * 3}
    assert after(wide, 5e-6, [1e4]).min() > 0
    state = LogTimeRelaxation.model_validate(wide)
    plain = 5e-6 + displacement(np.array(5e-6), after(wide, 5e-6, [1e4]), state.knee)
    assert plain.min() < 0


def test_power_law_drifts_as_published():
    """Nandakumar et al., ICECS 2019: ln G falls by nu ln(1 + t/t0)."""
    law = PowerLawDrift(kind="power-law", t0=20.0, levels=(10e-6,), exponent_mean=(0.06,), exponent_sd=(0.02,))
    state = RelaxingCells(law, np.full((1, 50000), 1e-6), np.random.default_rng(0))
    state.notice(np.full((1, 50000), 10e-6), np.zeros((1, 50000), dtype=bool), 0.0)
    state.advance(3600.0)
    exponent = -np.log(state.conductance.ravel() / 10e-6) / np.log1p(180.0)
    assert exponent.mean() == pytest.approx(0.06, rel=0.01)
    assert exponent.std() == pytest.approx(0.02, rel=0.02)


def twin(**changes):
    profile = TwinProfile.load("ideal")
    return DigitalTwin(
        profile.model_copy(update={"relaxation": LogTimeRelaxation.model_validate(LAW)} | changes), (8, 8), 3
    )


def test_same_bits_whatever_the_batch_of_reads():
    volts = np.random.default_rng(0).uniform(-0.2, 0.2, (400, 8))
    target = np.full((8, 8), 40e-6)
    whole, single = twin(), twin()
    for chip in (whole, single):
        chip.program_conductances(target)
    at_once = whole.read_mvm(volts)
    one_by_one = np.stack([single.read_mvm(v) for v in volts])
    assert np.array_equal(at_once, one_by_one)
    assert whole.time == single.time
    assert not np.allclose(at_once[0] / volts[0].sum(), at_once[-1] / volts[-1].sum())  # it did relax meanwhile


def test_only_cells_that_were_written_relax_and_a_new_write_starts_anew():
    chip = twin()
    mask = np.zeros((8, 8), dtype=bool)
    mask[:4] = True
    chip.program_conductances(np.where(mask, 40e-6, np.nan), mask)
    before = chip.cells.conductance.copy()
    chip.wait(1e4)
    moved = chip.cells.conductance != before
    assert np.array_equal(moved, mask)
    again = chip.program_conductances(np.where(mask, 40e-6, np.nan), mask)
    assert np.allclose(again.achieved[mask], 40e-6)


def test_stuck_cells_do_not_relax():
    chip = twin()
    chip.program_conductances(np.full((8, 8), 40e-6))
    broken = np.eye(8, dtype=bool)
    chip.cells.stick(broken, 90e-6)
    chip.wait(100.0)
    assert np.array_equal(chip.cells.conductance[broken], np.full(8, 90e-6))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"times": (1.0, 0.1, 1e4)}, "times must be above zero and rise"),
        ({"core": ((1e-6,) * 3,) * 2}, "core needs 3 rows"),
        ({"core": ((-1e-6,) * 3,) * 3}, "cannot be negative"),
        ({"down_share": None}, "belong together"),
        ({"correlation": (0.5,)}, "correlation needs 2 values"),
        ({"correlation": (0.5, 0.0)}, "lies above 0"),
    ],
)
def test_a_law_that_does_not_fit_together_is_refused(change, says):
    with pytest.raises(ValidationError, match=says):
        LogTimeRelaxation.model_validate(LAW | change)
