"""The contract: what every `CrossbarArray` promises, whatever stands behind it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imssa_lab.errors import ImssaError, LimitError
from imssa_lab.hal import ColumnCalibration, CrossbarArray, PulseKind, Pulses
from protocols.write_verify import WriteVerify

Script = Callable[[CrossbarArray], Any]
Run = Callable[[Script], Any]
RECIPE = WriteVerify(
    tolerance_in=6e-6,
    tolerance_out=12e-6,
    set_voltage=(1.0, 3.0, 1.0),
    set_gate=(0.4, 1.4, 0.05),
    set_width=10e-6,
    reset_voltage=(0.5, 2.2, 0.1),
    reset_gate=(5.0, 5.0, 0.5),
    reset_width=1e-3,
    max_steps=60,
)


def all_cells(array: CrossbarArray) -> np.ndarray:
    return np.ones(array.info.shape, dtype=bool)


class TestContract:
    def test_info_describes_the_array(self, run: Run) -> None:
        info = run(lambda array: array.info)
        assert info.shape == (12, 8)
        assert info.window.low < info.window.high
        assert info.limits.read_voltage > 0

    def test_mvm_shapes(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            return array.read_mvm(np.full(12, 0.1)).shape, array.read_mvm(np.full((3, 12), 0.1)).shape

        assert run(script) == ((8,), (3, 8))

    def test_mvm_is_the_product_with_the_conductances(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            rng = np.random.default_rng(1)
            array.program_conductances(rng.uniform(20e-6, 120e-6, array.info.shape), programmer=RECIPE)
            conductance = array.read_conductances(averages=32)
            voltages = rng.uniform(-0.2 if array.info.input_signed else 0.0, 0.2, (400, 12))
            return voltages @ conductance, array.read_mvm(voltages)

        ideal, measured = run(script)
        for col in range(8):  # each column has its own gain, so compare shapes, not sizes
            assert np.corrcoef(ideal[:, col], measured[:, col])[0, 1] > 0.99
            assert abs(np.corrcoef(ideal[:, (col + 1) % 8], measured[:, col])[0, 1]) < 0.97

    def test_conductances_outside_the_mask_are_nan(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            mask = np.zeros(array.info.shape, dtype=bool)
            mask[2:4, 1] = True
            return mask, array.read_conductances(mask, averages=3)

        mask, conductance = run(script)
        assert np.array_equal(np.isfinite(conductance), mask)

    def test_set_raises_and_reset_lowers_only_the_selected_cells(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            mask = np.zeros(array.info.shape, dtype=bool)
            mask[:, ::2] = True
            seen = [array.read_conductances(averages=16)]
            array.apply_pulses(Pulses.on(mask, "SET", 2.0, 0.7, 10e-6))
            seen.append(array.read_conductances(averages=16))
            array.apply_pulses(Pulses.on(mask, "RESET", 1.6, 5.0, 1e-3))
            seen.append(array.read_conductances(averages=16))
            return mask, seen

        mask, (before, after_set, after_reset) = run(script)
        assert np.median((after_set - before)[mask]) > 50e-6
        assert np.median((after_reset - after_set)[mask]) < -50e-6
        assert np.median(np.abs(after_set - before)[~mask]) < 2e-6

    def test_programming_reports_what_a_fresh_reading_confirms(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            mask = all_cells(array)
            mask[0] = False
            target = np.random.default_rng(2).uniform(10e-6, 140e-6, array.info.shape)
            report = array.program_conductances(target, mask, RECIPE)
            return mask, target, report, array.read_conductances(mask, averages=16)

        mask, target, report, again = run(script)
        assert np.array_equal(report.selected, mask)
        assert np.isnan(report.achieved[~mask]).all()
        assert (report.pulses[~mask] == 0).all()
        truly = np.mean(np.abs(again - target)[mask] <= report.tolerance)
        assert report.within() == pytest.approx(truly, abs=0.06)
        assert truly > 0.85

    def test_default_programmer(self, run: Run) -> None:
        report = run(lambda array: array.program_conductances(np.full(array.info.shape, 60e-6)))
        assert report.within() > 0.85
        assert "cells" in str(report)

    def test_time_passes_by_waiting_and_by_working(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            start = array.time
            array.wait(2.5)
            waited = array.time
            array.read_conductances()
            return start, waited, array.time

        start, waited, read = run(script)
        assert waited - start == pytest.approx(2.5)
        assert read > waited

    def test_calibration_is_applied_unless_raw(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            array.apply_pulses(Pulses.on(all_cells(array), "SET", 2.0, 1.0, 10e-6))
            gain, offset = np.full(8, 3.0), np.full(8, 1e-3)
            array.set_calibration(ColumnCalibration(gain, offset, np.zeros(8)))
            return array.read_mvm(np.full(12, 0.2)), array.read_mvm(np.full(12, 0.2), raw=True)

        corrected, raw = run(script)
        assert corrected == pytest.approx(3.0 * raw + 1e-3, rel=0.1)
        assert (corrected - raw).min() > 1e-3

    @pytest.mark.parametrize(
        ("voltages", "words"),
        [
            (np.zeros(11), r"shape \(12,\)"),
            (np.zeros((2, 3, 12)), "shape"),
            (np.zeros((0, 12)), "shape"),
            (np.full(12, np.nan), "NaN"),
            (np.full(12, np.inf), "NaN or infinity"),
            (np.full(12, 0.21), "at most 0.2 V"),
            (np.full(12, -0.21), "at most 0.2 V"),
        ],
    )
    def test_bad_voltages_are_refused(self, run: Run, voltages: np.ndarray, words: str) -> None:
        with pytest.raises(LimitError, match=words):
            run(lambda array: array.read_mvm(voltages))

    @pytest.mark.parametrize(
        ("kind", "voltage", "gate", "width", "words"),
        [
            ("SET", 3.6, 1.0, 1e-6, "voltage 3.6 V asked, at most 3.5 V"),
            ("SET", 2.0, 2.2, 1e-6, "gate 2.2 V asked, at most 2.1 V"),
            ("SET", 2.0, 1.0, 1.0, "width 1 s asked"),
            ("RESET", 3.1, 5.0, 1e-3, "voltage 3.1 V asked"),
            ("FORM", 2.0, 1.0, 1e-6, "no FORM pulses"),
        ],
    )
    def test_pulses_over_a_limit_are_refused_and_move_nothing(
        self, run: Run, kind: str, voltage: float, gate: float, width: float, words: str
    ) -> None:
        def script(array: CrossbarArray) -> Any:
            with pytest.raises(LimitError, match=words):
                array.apply_pulses(Pulses.on(all_cells(array), kind, voltage, gate, width))
            return array.time

        assert run(script) == 0.0  # the device's clock has not moved: nothing was sent

    @pytest.mark.parametrize("target", [1e-6, 151e-6, np.nan, 60.0])
    def test_targets_outside_the_window_are_refused(self, run: Run, target: float) -> None:
        def script(array: CrossbarArray) -> Any:
            wanted = np.full(array.info.shape, 50e-6)
            wanted[3, 4] = target
            with pytest.raises(LimitError, match="word line 3, bit line 4"):
                array.program_conductances(wanted)
            return array.time

        assert run(script) == 0.0

    def test_wrong_shapes_and_masks_are_refused(self, run: Run) -> None:
        def script(array: CrossbarArray) -> None:
            with pytest.raises(LimitError, match="shape"):
                array.program_conductances(np.full((8, 12), 50e-6))
            with pytest.raises(LimitError, match="mask must be bool"):
                array.read_conductances(np.ones(array.info.shape))  # type: ignore[arg-type]
            with pytest.raises(LimitError, match="averages=0"):
                array.read_conductances(averages=0)
            with pytest.raises(LimitError, match="cannot wait"):
                array.wait(-1.0)
            with pytest.raises(LimitError, match="pulses of shape"):
                array.apply_pulses(Pulses.on(np.ones((8, 12), dtype=bool), "SET", 1.0, 1.0, 1e-6))
            with pytest.raises(LimitError, match="calibration gain"):
                array.set_calibration(ColumnCalibration(np.ones(3), np.zeros(3), np.zeros(3)))

        run(script)

    def test_a_closed_array_says_so(self, run: Run) -> None:
        def script(array: CrossbarArray) -> None:
            array.close()
            array.close()
            with pytest.raises(ImssaError, match="closed"):
                array.read_conductances()
            with pytest.raises(ImssaError, match="closed"):
                array.set_calibration(None)

        run(script)


def test_pulses_are_checked_when_they_are_made() -> None:
    ones = np.ones((2, 2))
    with pytest.raises(LimitError, match="both a voltage and a gate"):
        Pulses(PulseKind.SET, ones, np.full((2, 2), np.nan), 1e-6)
    with pytest.raises(LimitError, match="above zero"):
        Pulses(PulseKind.SET, -ones, ones, 1e-6)
    with pytest.raises(LimitError, match="width"):
        Pulses(PulseKind.SET, ones, ones, 0.0)
    with pytest.raises(LimitError, match="shape"):
        Pulses(PulseKind.SET, ones, np.ones((3, 2)), 1e-6)
