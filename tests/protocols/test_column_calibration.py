"""Calibration of the columns: what an array carries when it ends, also where it ends early."""

from collections.abc import Callable

import numpy as np
import pytest

from imssa_lab.contract.errors import LinkLost
from imssa_lab.contract.hal import ColumnCalibration, CrossbarArray, FloatArray, Readout
from protocols.characterisation.column_calibration import calibrate_columns, check_columns, fitted_columns
from twin import DigitalTwin

SHAPE = (8, 8)


class Cut(DigitalTwin):
    """Its products fail once `error` is set."""

    error: BaseException | None = None

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        if self.error is not None:
            assert self.calibration is None  # what a protocol compares is read without it
            raise self.error
        return super()._read_mvm(voltages)


@pytest.mark.parametrize("error", [LinkLost("the cable is out"), KeyboardInterrupt()])
@pytest.mark.parametrize("ask", [calibrate_columns, check_columns])
def test_an_array_carries_its_calibration_again_after_a_failure(
    ask: Callable[[CrossbarArray], object], error: BaseException
) -> None:
    array = Cut("supert-a0-easy", SHAPE, seed=1)
    carried = ColumnCalibration(np.full(8, 1.1), np.zeros(8), np.zeros(8))
    array.set_calibration(carried)
    array.error = error
    with pytest.raises(type(error)):
        ask(array)
    assert array.calibration is carried


def test_after_success_it_carries_what_was_measured_and_a_check_changes_nothing() -> None:
    array = Cut("supert-a0-easy", SHAPE, seed=1)
    array.set_calibration(ColumnCalibration(np.full(8, 1.1), np.zeros(8), np.zeros(8)))
    measured = calibrate_columns(array)
    assert array.calibration is measured
    check = check_columns(array)
    assert array.calibration is measured
    assert np.sqrt(np.mean(check.after**2)) < np.sqrt(np.mean(check.before**2))


def test_a_line_whose_cells_carry_nothing_keeps_gain_1() -> None:
    """Its products vary all the same: what amplifiers pick up. Beside it a line that fits."""
    rng = np.random.default_rng(0)
    measured = rng.uniform(1e-6, 9e-6, (32, 3))
    fit = fitted_columns(measured, np.stack([np.zeros(32), np.full(32, 2e-6), 2 * measured[:, 2] + 1e-6], axis=1))
    np.testing.assert_allclose(fit.gain, [1.0, 1.0, 2.0], rtol=1e-9)
    np.testing.assert_allclose(fit.offset[:2], np.array([0.0, 2e-6]) - measured[:, :2].mean(axis=0))
    assert fit.residual[0] > 1e-6 > fit.residual[2]
