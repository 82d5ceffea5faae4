"""Tables from a recorded run: which readings tell of relaxation, and which products belong to which conductances."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.log import record
from twin import DigitalTwin
from twin.fitting.tables.run_tables import products, relaxation_table

SHAPE = (3, 4)
CELL = np.arange(12).reshape(SHAPE)
UPPER, LEFT = CELL < 8, CELL % 4 < 2
ALL = np.ones(SHAPE, dtype=bool)


def chips() -> list[DigitalTwin]:
    return [DigitalTwin("ideal", SHAPE, seed) for seed in (0, 1)]


def test_readings_after_programming_count_from_it_until_a_pulse_ends_the_story(tmp_path: Path) -> None:
    expected: list[tuple[float, float, float, float]] = []
    with record(tmp_path / "run.h5", chips(), {}) as (one, two):
        two.read_conductances()  # nothing was programmed yet
        target = np.linspace(20e-6, 90e-6, 12).reshape(SHAPE)
        two.program_conductances(target, UPPER)
        programmed = two.time
        two.wait(5.0)
        read = two.read_conductances(LEFT, 3)
        # cells of the second array come behind the twelve of the first
        expected += [(12 + n, two.time - programmed, target.flat[n], read.flat[n]) for n in CELL[UPPER & LEFT]]
        one.read_conductances(LEFT)
        two.apply_pulses(Pulses.on(CELL % 4 == 0, PulseKind.SET, 1.0, 1.0, 1e-6))
        two.wait(7.0)
        read = two.read_conductances(ALL)
        expected += [
            (12 + n, two.time - programmed, target.flat[n], read.flat[n]) for n in CELL[UPPER & (CELL % 4 != 0)]
        ]
        two.program_conductances(target, CELL == 4)
        again = two.time
        two.wait(1.0)
        read = two.read_conductances(CELL == 4)
        expected.append((16, two.time - again, target.flat[4], read.flat[4]))
        two.read_conductances(CELL == 0)  # pulsed since
    table = relaxation_table(tmp_path / "run.h5")
    found = np.stack([table[name] for name in ("cell", "time", "initial", "conductance")], axis=1)
    assert found.shape == (len(expected), 4)
    assert found == pytest.approx(np.array(expected), rel=1e-3, abs=1e-9)
    assert table.rows.tolist() == list(range(1, len(expected) + 1))


def test_a_run_in_which_no_cell_is_read_after_programming_says_so(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", chips()[:1], {}) as (array,):
        array.read_conductances()
        array.program_conductances(np.full(SHAPE, 5e-5), LEFT)
        array.read_conductances(~LEFT)
    with pytest.raises(DataError, match="no cell was read again"):
        relaxation_table(tmp_path / "run.h5")


def test_products_count_after_the_last_whole_read_and_before_the_next_pulse(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volts = [rng.uniform(-0.2, 0.2, (n, 3)) for n in (2, 3, 4, 1)]
    with record(tmp_path / "run.h5", chips(), {}) as (one, two):
        one.read_mvm(volts[0])  # before any read
        one.read_conductances()
        one.read_mvm(volts[1])
        held = one.read_conductances(averages=2)
        currents = [one.read_mvm(volts[2], raw=True)]
        one.read_conductances(LEFT)  # not the whole array
        two.read_conductances()
        two.read_mvm(volts[0])
        currents.append(one.read_mvm(volts[3][0], raw=True)[None])
    conductance, voltages, measured = products(tmp_path / "run.h5")
    assert conductance == pytest.approx(held, rel=1e-6)
    assert np.array_equal(voltages, np.concatenate(volts[2:]))
    assert measured == pytest.approx(np.concatenate(currents), rel=1e-9)
    assert products(tmp_path / "run.h5", 1)[1] == pytest.approx(volts[0])
    with record(tmp_path / "pulsed.h5", chips()[:1], {}) as (one,):
        one.read_conductances()
        one.read_mvm(volts[1])
        one.apply_pulses(Pulses.on(LEFT, PulseKind.SET, 1.0, 1.0, 1e-6))
        one.read_mvm(volts[2])
    with pytest.raises(DataError, match="array 0 was not read as a whole before products"):
        products(tmp_path / "pulsed.h5")
