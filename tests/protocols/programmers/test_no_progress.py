"""Cells that make no progress leave the list, and cells that are done are not read at every step."""

import numpy as np
import pytest

from imssa_lab.contract.hal import CellOutcome, FloatArray, Readout
from protocols.programmers.hysteretic import WriteVerify
from twin import DigitalTwin, TwinProfile

PROFILE = TwinProfile.load("supert-a0-easy")
TARGET = np.full((8, 8), 100e-6)


def recipe(**changes: object) -> WriteVerify:
    return WriteVerify.model_validate({**PROFILE.recipe.model_dump(), "max_steps": 200, **changes})


def chip(stuck: int = 0) -> DigitalTwin:
    none = PROFILE.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    quiet = PROFILE.read_noise.model_copy(update={"sd_median": 0.0, "flicker": None, "telegraph": None})
    twin = DigitalTwin(PROFILE.model_copy(update={"stuck": none, "read_noise": quiet}), (8, 8), seed=1)
    mask = np.zeros((8, 8), dtype=bool)
    mask.flat[:stuck] = True
    twin.cells.stick(mask, 2e-6)
    return twin


def test_a_stuck_cell_gets_no_more_pulses_than_the_patience() -> None:
    patient, quick = (
        chip(stuck=4).program_conductances(TARGET, programmer=recipe(patience=limit)) for limit in (None, 30)
    )
    assert (quick.pulses.flat[:4] == 30).all()
    assert (patient.pulses.flat[:4] > 60).all()  # null control: the whole ladder
    assert (quick.outcome.flat[:4] == CellOutcome.STUCK_LOW).all()
    assert quick.within() == patient.within()  # cells that work are none the worse


class Restless(DigitalTwin):
    """Cell (0, 0) reads 15 uS off at every other look, whatever it holds."""

    looks = 0

    def _read_conductances(self, mask: np.ndarray, averages: int) -> Readout:
        Restless.looks += 1
        readout = super()._read_conductances(mask, averages)
        off: FloatArray = np.array(readout.current(self.info.adc))
        off[:, 0, 0] = (TARGET[0, 0] + 15e-6 * (Restless.looks % 2)) * self.info.read_voltage
        return Readout(off)


@pytest.mark.parametrize("returns", [2, None])
def test_a_cell_that_only_noise_brings_back_leaves_for_good(returns: int | None) -> None:
    Restless.looks = 0
    quiet = chip().profile.model_copy(update={"adc": None})
    report = Restless(quiet, (8, 8), seed=1).program_conductances(TARGET, programmer=recipe(returns=returns))
    assert (report.pulses[0, 0] > 12) == (returns is None)


def test_between_two_looks_at_all_cells_only_listed_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = DigitalTwin._read_conductances

    def counted(self: DigitalTwin, mask: np.ndarray, averages: int) -> Readout:
        read.append(averages * int(mask.sum()))
        return real(self, mask, averages)

    monkeypatch.setattr(DigitalTwin, "_read_conductances", counted)
    target = np.random.default_rng(0).uniform(10e-6, 140e-6, (8, 8))
    every = chip().program_conductances(target, programmer=recipe())
    all_reads = sum(read)
    read.clear()
    seldom = chip().program_conductances(target, programmer=recipe(whole_every=10))
    assert sum(read) < 0.6 * all_reads
    assert seldom.within() == every.within() == 1.0
    assert read[-2] == 64  # the loop ends on a look at every cell, before the independent re-read
