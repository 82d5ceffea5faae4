"""What every `CrossbarArray` promises, whatever is behind it. SI units: S, V, A, s."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from imssa_lab.contract.errors import ImssaError, LimitError
from imssa_lab.contract.hal import (
    ArrayInfo,
    BoolArray,
    ColumnCalibration,
    CrossbarArray,
    FloatArray,
    Programmer,
    PulseKind,
    PulseLimits,
    Pulses,
)
from imssa_lab.contract.testing.electrodes import ElectrodeSuite, Run, Script
from imssa_lab.contract.testing.other_threads import OtherThreadsSuite

__all__ = ["ContractSuite", "Run", "Script"]

BAD_VOLTAGES: dict[str, Callable[[ArrayInfo], tuple[FloatArray, str]]] = {
    "one word line short": lambda info: (np.zeros(info.rows - 1), rf"shape \({info.rows},\)"),
    "three dimensions": lambda info: (np.zeros((2, 3, info.rows)), "shape"),
    "no vectors": lambda info: (np.zeros((0, info.rows)), "shape"),
    "NaN": lambda info: (np.full(info.rows, np.nan), "NaN"),
    "infinity": lambda info: (np.full(info.rows, np.inf), "NaN or infinity"),
    "too high": lambda info: (
        np.full(info.rows, 1.05 * info.limits.read_voltage),
        _at_most(info.limits.read_voltage),
    ),
    "too low": lambda info: (
        np.full(info.rows, -1.05 * info.limits.read_voltage),
        _at_most(info.limits.read_voltage),
    ),
}
BAD_PULSES: dict[str, Callable[[PulseLimits], tuple[dict[str, float], str]]] = {
    "voltage": lambda most: ({"voltage": 1.05 * most.voltage_max}, _at_most(most.voltage_max)),
    "gate": lambda most: ({"gate": 1.05 * most.gate_max}, _at_most(most.gate_max)),
    "long": lambda most: ({"width": 2 * most.width_max}, "width .* asked"),
    "short": lambda most: ({"width": 0.5 * most.width_min}, "width .* asked"),
}
BAD_TARGETS: dict[str, Callable[[ArrayInfo], float]] = {
    "below the window": lambda info: 0.5 * info.window.low if info.window.low else -1e-6,
    "above the window": lambda info: info.window.high + 0.01 * info.window.span,
    "NaN": lambda info: np.nan,
    "in microsiemens": lambda info: 1e6 * info.window.high,
}


def _flat(voltage: float, info: ArrayInfo) -> tuple[FloatArray, str]:
    return np.full(info.rows, voltage), _at_most(info.limits.read_voltage)


def _at_most(limit: float) -> str:
    return re.escape(f"at most {limit:g} V")


def all_cells(array: CrossbarArray) -> BoolArray:
    """True everywhere, (rows, cols)."""
    return np.ones(array.info.shape, dtype=np.bool_)


def some_cells(array: CrossbarArray) -> BoolArray:
    """Half of the cells, without a pattern that another order of the lines would keep, (rows, cols)."""
    chosen: BoolArray = np.random.default_rng(3).permutation(np.arange(array.info.rows * array.info.cols) % 2 == 0)
    return chosen.reshape(array.info.shape)


def targets(array: CrossbarArray, seed: int) -> FloatArray:
    """Random targets well inside the window, S, (rows, cols)."""
    window = array.info.window
    share = np.random.default_rng(seed).uniform(0.1, 0.85, array.info.shape)
    return np.asarray(window.low + window.span * share)


def lines(ideal: FloatArray, measured: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slope, offset (A) and standard error of the slope, (cols,), of measured against ideal currents (n, cols), A.

    By least squares with independent residuals.
    """
    about = ideal - ideal.mean(axis=0)
    power = np.sum(about**2, axis=0)
    slope = np.sum(about * measured, axis=0) / power
    offset = measured.mean(axis=0) - slope * ideal.mean(axis=0)
    left = measured - slope * ideal - offset
    return slope, offset, np.sqrt(np.sum(left**2, axis=0) / (len(ideal) - 2) / power)


class ContractSuite(ElectrodeSuite, OtherThreadsSuite):
    """The contract as tests: a subclass in a test file says how to open an array, and pytest runs all of them.

    A subclass overrides the fixture `array` with one that returns a freshly opened array of at least 4 x 4 cells;
    every test gets its own, and closes it. It pulses all cells: what the array holds is lost.

    Attributes:
        set_pulse, reset_pulse: voltage (V), gate (V) and width (s) of pulses that surely move healthy cells, SET
            from any state, RESET from where this SET leaves them.
        moved: what each of the two moves the median cell by at least, S.
        still: what a cell that was left alone may seem to move by, in the median, S: noise of 16 averaged reads.
        programmer: the loop to program with; None for that of the driver.
        product_error: share by which a product may differ from V G beyond noise: resistance of the lines, cells that
            are not linear.
        simulated_time: device time passes only by what is asked of the array, as in a simulation.
    """

    set_pulse: ClassVar[tuple[float, float, float]]
    reset_pulse: ClassVar[tuple[float, float, float]]
    moved: ClassVar[float] = 50e-6
    still: ClassVar[float] = 2e-6
    programmer: ClassVar[Programmer | None] = None
    product_error: ClassVar[float] = 0.02
    simulated_time: ClassVar[bool] = False

    @pytest.fixture
    def array(self) -> CrossbarArray:
        """The array under test, open."""
        raise NotImplementedError(f"{type(self).__name__}: write a fixture `array` that returns an open array")

    @pytest.fixture
    def run(self, array: CrossbarArray) -> Run:
        """How a test meets its array."""

        def run(script: Script) -> Any:
            with array:
                return script(array)

        return run

    @pytest.fixture
    def columns(self) -> ColumnCalibration | None:
        """Gain and offset of the bit lines, known from elsewhere than these products; None where `array` needs none
        or carries it already. Overridden for a board whose bit lines have gains of their own.
        """
        return None

    def pulse(self, array: CrossbarArray, kind: PulseKind, mask: BoolArray) -> None:
        """One pulse of the suite's own on the cells of `mask` (rows, cols)."""
        array.apply_pulses(Pulses.on(mask, kind, *(self.set_pulse if kind is PulseKind.SET else self.reset_pulse)))

    def refused(self, array: CrossbarArray, words: str, call: Callable[[], object]) -> None:
        """The call raises LimitError with these words, and the array has not noticed.

        What is noticed is judged by the device's clock where it is simulated, else by the cells.
        """
        time = array.time
        before = None if self.simulated_time else array.read_conductances(averages=16)
        with pytest.raises(LimitError, match=words):
            call()
        if before is None:
            assert array.time == time, "time has passed on the device: something was sent"
        else:
            change = np.abs(array.read_conductances(averages=16) - before)
            assert np.median(change) < self.still, "cells have moved: something was sent"

    # ---- what it is

    def test_info_describes_the_array(self, run: Run) -> None:
        info = run(lambda array: array.info)
        assert info.rows >= 4, "too small for this suite"
        assert info.cols >= 4, "too small for this suite"
        assert info.window.low < info.window.high
        assert 0 < info.read_voltage <= info.limits.read_voltage

    # ---- reading

    def test_mvm_shapes(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            rows, low = array.info.rows, 0.5 * array.info.limits.read_voltage
            shapes = array.read_mvm(np.full(rows, low)).shape, array.read_mvm(np.full((3, rows), low)).shape
            return array.info.cols, shapes

        cols, shapes = run(script)
        assert shapes == ((cols,), (3, cols))

    def test_mvm_is_the_product_with_the_conductances(self, run: Run, columns: ColumnCalibration | None) -> None:
        """Amperes against V times the conductances read back, a line for every bit line: slope 1, offset 0.

        The slope may be off by `product_error`, by four of its standard errors (from what the line leaves of every
        current: noise, input and converter steps) and by what another reading of the cells makes of it.
        """

        def script(array: CrossbarArray) -> Any:
            array.program_conductances(targets(array, 1), programmer=self.programmer)
            if columns is not None:
                array.set_calibration(columns)
            readings = [array.read_conductances(averages=16) for _ in range(2)]
            high = array.info.limits.read_voltage
            low = -high if array.info.input_signed else 0.0
            voltages = np.random.default_rng(1).uniform(low, high, (400, array.info.rows))
            return [voltages @ reading for reading in readings], array.read_mvm(voltages)

        (ideal, again), measured = run(script)
        cols = ideal.shape[1]
        alike = np.corrcoef(ideal, measured, rowvar=False)[:cols, cols:]
        assert np.diag(alike) == pytest.approx(1.0, abs=0.01), "not the product with these conductances"
        assert np.array_equal(alike.argmax(axis=0), np.arange(cols)), "bit lines are in another order"
        slope, offset, error = lines(ideal, measured)
        allowed = self.product_error + 4 * error + np.abs(slope - lines(again, measured)[0])
        assert allowed.max() < 0.05, "products or conductances are too noisy to tell whether they agree"
        worst = int(np.argmax(np.abs(slope - 1) - allowed))
        assert abs(slope[worst] - 1) <= allowed[worst], (
            f"bit line {worst} gives {slope[worst]:.3f} times V G in amperes, 1 +- {allowed[worst]:.3f} is allowed"
        )
        assert np.abs(offset).max() <= 0.02 * np.abs(ideal).max(), "currents do not vanish where V G does"

    def test_currents_grow_with_the_voltage_up_to_its_limit(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            self.pulse(array, PulseKind.SET, all_cells(array))
            shares = np.repeat([0.0, 0.5, 1.0], 32)[:, None]
            voltages = shares * np.full(array.info.rows, array.info.limits.read_voltage)
            return array.read_mvm(voltages).reshape(3, 32, -1).mean(axis=1)

        none, half, full = run(script)
        ratio = np.median((full - none) / (half - none))
        assert ratio == pytest.approx(2.0, abs=0.1), "voltages are not driven as asked, or the converter is full"

    def test_conductances_outside_the_mask_are_nan(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            mask = np.zeros(array.info.shape, dtype=bool)
            mask[2:4, 1] = True
            return mask, array.read_conductances(mask, averages=3)

        mask, conductance = run(script)
        assert np.array_equal(np.isfinite(conductance), mask)

    def test_calibration_is_applied_unless_raw(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            info = array.info
            voltages = np.full(info.rows, info.limits.read_voltage)
            self.pulse(array, PulseKind.SET, all_cells(array))
            offset = float(np.abs(array.read_mvm(voltages)).max())
            cols = np.zeros(info.cols)
            array.set_calibration(ColumnCalibration(cols + 3.0, cols + offset, cols))
            return offset, array.read_mvm(voltages), array.read_mvm(voltages, raw=True)

        offset, corrected, raw = run(script)
        assert corrected == pytest.approx(3.0 * raw + offset, rel=0.1)
        assert (corrected - raw).min() > offset

    # ---- pulsing and programming

    def test_set_raises_and_reset_lowers_only_the_selected_cells(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            mask = some_cells(array)
            seen = [array.read_conductances(averages=16)]
            for kind in (PulseKind.SET, PulseKind.RESET):
                self.pulse(array, kind, mask)
                seen.append(array.read_conductances(averages=16))
            return mask, seen

        mask, (before, after_set, after_reset) = run(script)
        assert np.median((after_set - before)[mask]) > self.moved
        assert np.median((after_reset - after_set)[mask]) < -self.moved
        moved = (after_set - before > self.moved / 2) & (after_reset - after_set < -self.moved / 2)
        assert np.mean(moved[mask]) > 0.85, "selected cells have not moved"
        assert np.mean(moved[~mask]) < 0.05, "cells that were not selected have moved"
        assert np.median(np.abs(after_set - before)[~mask]) < self.still
        assert np.median(np.abs(after_reset - after_set)[~mask]) < self.still

    def test_programming_reports_what_a_fresh_reading_confirms(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            mask = all_cells(array)
            mask[0] = False
            target = targets(array, 2)
            report = array.program_conductances(target, mask, self.programmer)
            return mask, target, report, array.read_conductances(mask, averages=16)

        mask, target, report, again = run(script)
        assert np.array_equal(report.selected, mask)
        assert np.isnan(report.achieved[~mask]).all()
        assert (report.pulses[~mask] == 0).all()
        truly = np.mean(np.abs(again - target)[mask] <= report.tolerance)
        assert report.within() == pytest.approx(truly, abs=0.06), "the report says what a re-read does not"
        assert truly > 0.85

    def test_default_programmer(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            window = array.info.window
            return array.program_conductances(np.full(array.info.shape, window.low + 0.4 * window.span))

        report = run(script)
        assert report.within() > 0.85
        assert "cells" in str(report)

    # ---- time

    def test_time_passes_by_waiting_and_by_working(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            start = array.time
            array.wait(0.25)
            waited = array.time
            array.read_conductances()
            return start, waited, array.time

        start, waited, read = run(script)
        if self.simulated_time:
            assert waited - start == pytest.approx(0.25)
        assert waited - start >= 0.24
        assert read > waited

    # ---- what is refused, and reaches nothing

    @pytest.mark.parametrize("bad", BAD_VOLTAGES)
    def test_bad_voltages_are_refused(self, run: Run, bad: str) -> None:
        def script(array: CrossbarArray) -> None:
            voltages, words = BAD_VOLTAGES[bad](array.info)
            self.refused(array, words, lambda: array.read_mvm(voltages))

        run(script)

    def test_negative_voltages_are_refused_where_word_lines_take_none(self, run: Run) -> None:
        def script(array: CrossbarArray) -> None:
            voltages = np.full(array.info.rows, -0.5 * array.info.limits.read_voltage)
            if array.info.input_signed:
                assert np.isfinite(array.read_mvm(voltages)).all()
            else:
                self.refused(array, "negative voltage", lambda: array.read_mvm(voltages))

        run(script)

    @pytest.mark.parametrize("kind", [PulseKind.SET, PulseKind.RESET])
    @pytest.mark.parametrize("bad", BAD_PULSES)
    def test_pulses_over_a_limit_are_refused_and_move_nothing(self, run: Run, bad: str, kind: PulseKind) -> None:
        def script(array: CrossbarArray) -> None:
            most: PulseLimits = getattr(array.info.limits, kind.lower())
            change, words = BAD_PULSES[bad](most)
            asked = {"voltage": most.voltage_max, "gate": most.gate_max, "width": most.width_min} | change
            self.refused(array, words, lambda: array.apply_pulses(Pulses.on(all_cells(array), kind, **asked)))

        run(script)

    def test_pulses_that_an_array_has_not_are_refused(self, run: Run) -> None:
        def script(array: CrossbarArray) -> None:
            if array.info.limits.form is None:
                pulses = Pulses.on(all_cells(array), PulseKind.FORM, *self.set_pulse)
                self.refused(array, "no FORM pulses", lambda: array.apply_pulses(pulses))

        run(script)

    @pytest.mark.parametrize("bad", BAD_TARGETS)
    def test_targets_outside_the_window_are_refused(self, run: Run, bad: str) -> None:
        def script(array: CrossbarArray) -> None:
            wanted = targets(array, 4)
            wanted[3, 2] = BAD_TARGETS[bad](array.info)
            self.refused(array, "word line 3, bit line 2", lambda: array.program_conductances(wanted))

        run(script)

    def test_wrong_shapes_and_masks_are_refused(self, run: Run) -> None:
        def script(array: CrossbarArray) -> None:
            rows, cols = array.info.shape
            larger = np.full((rows + 1, cols), array.info.window.high)
            pulses = Pulses.on(larger > 0, PulseKind.SET, *self.set_pulse)
            no_bools: Any = np.ones(array.info.shape)
            wrong = ColumnCalibration(np.ones(cols - 1), np.zeros(cols - 1), np.zeros(cols - 1))
            for words, call in (
                ("shape", lambda: array.program_conductances(larger)),
                ("mask must be bool", lambda: array.read_conductances(no_bools)),
                ("averages=0", lambda: array.read_conductances(averages=0)),
                ("cannot wait", lambda: array.wait(-1.0)),
                ("pulses of shape", lambda: array.apply_pulses(pulses)),
                ("calibration gain", lambda: array.set_calibration(wrong)),
            ):
                with pytest.raises(LimitError, match=words):
                    call()

        run(script)

    # ---- the end

    def test_it_can_be_made_safe_at_any_time_and_goes_on(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            array.make_safe()
            array.make_safe()
            return array.read_conductances()

        assert np.isfinite(run(script)).all()

    def test_a_closed_array_says_so(self, run: Run) -> None:
        def script(array: CrossbarArray) -> None:
            array.close()
            array.close()
            with pytest.raises(ImssaError, match="closed"):
                array.read_conductances()
            with pytest.raises(ImssaError, match="closed"):
                array.set_calibration(None)

        run(script)
