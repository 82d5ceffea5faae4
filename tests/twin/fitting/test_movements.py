"""How single cells move: jumps are found where cells jump, a Gaussian process where all move a little."""

import numpy as np
import pytest

from tests.twin.fitting.conftest import table
from twin.fitting.fit_outcome import Outcome
from twin.fitting.relaxation_fit import fit_relaxation
from twin.fitting.session.noise_removal import ReadingNoise, take_out_of_relaxation
from twin.fitting.tables.measured_tables import Table
from twin.fitting.trajectories import Steps, reach_of
from twin.relaxation import LogTimeRelaxation, displacement
from twin.relaxing_cells import RelaxingCells

CELLS, TIMES = 2400, (0.1, 1.0, 10.0)
LAW = {
    "kind": "log-time",
    "t0": 0.01,
    "levels": (20e-6, 80e-6),
    "times": TIMES,
    "shift": ((0.0, 0.0),) * 3,
    "core": ((1e-6,) * 2, (1.4e-6,) * 2, (1.8e-6,) * 2),
    "knee": 1.0,
}
JUMPS = {"jumps": ((0.6,) * 2, (0.3,) * 2), "wander": ((0.15e-6,) * 2, (0.25e-6,) * 2), "jump_memory": 0.4}


def looked_at(movement: dict[str, object]) -> Table:
    """Cells that relax by the law with this movement."""
    rng = np.random.default_rng(3)
    start = rng.uniform(20e-6, 80e-6, CELLS)
    state = RelaxingCells(LogTimeRelaxation.model_validate(LAW | movement), np.zeros((1, CELLS)), rng)
    state.notice(start[np.newaxis], np.zeros((1, CELLS), dtype=bool), 0.0)
    looks = []
    for time in TIMES:
        state.advance(time)
        looks.append(state.conductance.ravel())
    return table(
        cell=np.tile(np.arange(CELLS), 3),
        time=np.repeat(TIMES, CELLS),
        conductance=np.concatenate(looks),
        initial=np.tile(start, 3),
    )


def fitted(movement: dict[str, object]) -> Outcome:
    """The fit to them."""
    return fit_relaxation(looked_at(movement), np.random.default_rng(0), model="gaussian")


def test_jumps_give_way_where_the_noise_of_readings_is_taken_out() -> None:
    """As in the fit of a whole session, whose profile has to be one."""
    outcome, seen = fitted(JUMPS), looked_at(JUMPS)
    rng = np.random.default_rng(7)
    noise = ReadingNoise(rng.uniform(20e-6, 80e-6, 4000), 0.1e-6 * rng.standard_normal(4000))
    take_out_of_relaxation(noise, seen, outcome)
    law = LogTimeRelaxation.model_validate(outcome.sections["relaxation"])
    assert law.jumps is None
    assert len(law.correlation) == len(TIMES) - 1
    assert any(text.startswith("jumps of single cells") for text in outcome.undetermined)


def test_cells_that_jump_are_found_to_jump_as_often_and_as_far_as_they_do() -> None:
    outcome = fitted(JUMPS)
    section = outcome.sections["relaxation"]
    assert "correlation" not in section
    assert np.mean(section["jumps"], axis=1) == pytest.approx([0.6, 0.3], abs=0.12)
    assert np.mean(section["wander"], axis=1) == pytest.approx([0.15e-6, 0.25e-6], rel=0.25)
    assert section["jump_memory"] == pytest.approx(0.4, abs=0.2)
    assert "process: +0.4" in outcome.facts["movement of single cells"]
    assert outcome.steps_passed > 0.8
    assert not [one for one in outcome.remarks if "steps of single cells" in one.what]


def test_how_far_cells_go_that_lose_their_place_is_found() -> None:
    """Cells of a law whose tail widens a lot: near by, or, as a null control, anywhere."""
    tail = {"down": ((1e-6,) * 2, (6e-6,) * 2, (14e-6,) * 2), "down_share": ((0.2,) * 2, (0.3,) * 2, (0.3,) * 2)}
    law, ends = LAW | tail | JUMPS, (1.0, 10.0)

    def make(reach: float) -> LogTimeRelaxation:
        return LogTimeRelaxation.model_validate(law | {"reach": (reach, reach)})

    for truth, found in ((0.5, (0.5, 1.0)), (0.0, (0.0,))):
        rng = np.random.default_rng(1)
        start = np.full(1500, 50e-6)
        state = RelaxingCells(make(truth), np.zeros((1, start.size)), rng)
        state.notice(start[np.newaxis], np.zeros((1, start.size), dtype=bool), 0.0)
        looks = []
        for time in ends:
            state.advance(time)
            looks.append((displacement(start, state.conductance.ravel(), 1.0), state.scores.ravel()))
        (early, z), (late, later) = looks
        assert reach_of(Steps(start, early, late, z, later), ends, make, rng) in found


def test_cells_that_all_move_a_little_are_not_said_to_jump() -> None:
    outcome = fitted({"correlation": (0.7, 0.8)})
    section = outcome.sections["relaxation"]
    assert "jumps" not in section
    assert section["correlation"] == pytest.approx([0.7, 0.8], abs=0.05)
    assert "process: +0.00" in outcome.facts["movement of single cells"]


def test_steps_that_the_law_does_not_have_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that jump, described by a process in which all move a little."""
    monkeypatch.setattr("twin.fitting.movements.gain_of_jumps", lambda *_: -1.0)
    outcome = fitted(JUMPS)
    (said,) = (one.what for one in outcome.remarks if "steps of single cells" in one.what)
    assert outcome.steps_passed < 0.1
    assert f"{outcome.steps_passed:.0%} of the bands" in said


def test_before_the_first_interval_that_was_followed_no_cell_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.fitting.movements.gain_of_jumps", lambda *_: 1.0)
    outcome = fit_relaxation(looked_at(JUMPS), np.random.default_rng(0), model="gaussian", broken_at=(1.0,))
    law = LogTimeRelaxation.model_validate(outcome.sections["relaxation"])
    assert law.jumps is not None
    assert law.wander is not None
    assert set(law.jumps[0]) == set(law.wander[0]) == {0.0}
    assert min(law.jumps[1]) > 0.1
    assert any("from 0.1 to 1 s: as asked" in text for text in outcome.undetermined)
