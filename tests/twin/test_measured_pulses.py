"""Pulses by measured tables: what they leave is what the tables say, cell by cell and strength by strength."""

import numpy as np
import pytest

from imssa_lab.contract.hal import PulseKind, Pulses
from twin import DigitalTwin, TwinProfile
from twin.measured_pulses import PulseTable

SHAPE = (64, 64)
TABLES = {
    "set_voltage": 3.0,
    "reset_width": 1e-3,
    "set": {
        "strengths": [0.5, 1.0],
        "scores": [-2.0, 0.0, 2.0],
        "quantiles": [[8e-6, 10e-6, 14e-6], [80e-6, 100e-6, 110e-6]],
        "cycle_spread": [0.0, 0.05],
    },
    "reset": {
        "strengths": [1.0, 2.0],
        "scores": [-2.0, 0.0, 2.0],
        "quantiles": [[30e-6, 40e-6, 60e-6], [2e-6, 3e-6, 5e-6]],
        "cycle_spread": [0.0, 0.0],
    },
}


def chip(**changed: object) -> DigitalTwin:
    base = TwinProfile.load("ideal").model_dump(exclude_none=True)
    return DigitalTwin(TwinProfile.model_validate(base | {"measured_pulses": TABLES | changed}), SHAPE, seed=1)


def pulsed(twin: DigitalTwin, kind: PulseKind, voltage: float, gate: float, width: float = 1e-3) -> np.ndarray:
    twin.apply_pulses(Pulses.on(np.ones(SHAPE, dtype=bool), kind, voltage, gate, width))
    return twin.cells.conductance


def test_quantiles_after_a_set_are_those_of_its_gate() -> None:
    with chip() as twin:
        low = pulsed(twin, PulseKind.SET, 3.0, 0.5)
        assert np.quantile(low, [0.02275, 0.5, 0.97725]) == pytest.approx([8e-6, 10e-6, 14e-6], rel=0.02)
        between = pulsed(twin, PulseKind.SET, 3.0, 0.75)
        assert np.median(between) == pytest.approx(np.sqrt(10e-6 * 100e-6), rel=0.03)
        order = np.corrcoef(np.log(low).ravel(), np.log(between).ravel())[0, 1]
        assert order > 0.95  # a cell keeps its rank


def test_a_set_only_raises_a_reset_only_lowers_and_a_weak_pulse_does_nothing() -> None:
    with chip() as twin:
        high = pulsed(twin, PulseKind.SET, 3.0, 1.0)
        assert np.array_equal(pulsed(twin, PulseKind.SET, 3.0, 0.5), high)
        assert np.array_equal(pulsed(twin, PulseKind.SET, 3.0, 0.45), high)
        assert np.array_equal(pulsed(twin, PulseKind.RESET, 0.9, 5.0), high)
        assert np.array_equal(pulsed(twin, PulseKind.RESET, 2.0, 2.9), high)  # the gate is not on
        low = pulsed(twin, PulseKind.RESET, 2.0, 5.0)
        assert np.median(low) == pytest.approx(3e-6, rel=0.03)
        assert np.array_equal(pulsed(twin, PulseKind.RESET, 1.0, 5.0), low)


def test_scatter_from_pulse_to_pulse_is_that_of_the_table() -> None:
    with chip() as twin:
        ends = []
        for _ in range(2):
            pulsed(twin, PulseKind.RESET, 2.0, 5.0)
            ends.append(np.log(pulsed(twin, PulseKind.SET, 3.0, 1.0)))
        assert (ends[1] - ends[0]).std() / np.sqrt(2) == pytest.approx(0.05, rel=0.05)


def test_a_share_of_the_way_and_another_voltage_or_width() -> None:
    part = TABLES["reset"] | {"share": 0.5}
    with chip(reset=part) as twin:
        high = pulsed(twin, PulseKind.SET, 3.0, 1.0)
        assert np.median(pulsed(twin, PulseKind.RESET, 2.0, 5.0)) == pytest.approx(
            np.median(np.sqrt(high * 3e-6)), rel=0.05
        )
    with chip() as twin:
        assert np.median(pulsed(twin, PulseKind.SET, 0.6, 1.0)) < 50e-6
    with chip() as twin:
        pulsed(twin, PulseKind.SET, 3.0, 1.0)
        shorter = np.median(pulsed(twin, PulseKind.RESET, 2.0, 5.0, 1e-5))
        assert shorter > 3.2e-6


def test_jitter_scatters_as_steeply_as_the_table_and_leaves_the_rest() -> None:
    set_ = TABLES["set"] | {"strengths": [0.5, 0.75, 1.0], "jitter": 0.01, "cycle_spread": [0.0, 0.0, 0.0]}
    set_ |= {"quantiles": [[10e-6, 10e-6, 10e-6], [40e-6, 40e-6, 40e-6], [80e-6, 80e-6, 80e-6]]}
    with chip(set=set_) as twin:
        for gate, slope in ((0.6, np.log(4.0) / 0.25), (0.9, np.log(2.0) / 0.25)):
            pulsed(twin, PulseKind.RESET, 2.0, 5.0)
            left = np.log(pulsed(twin, PulseKind.SET, 3.0, gate))
            assert left.std() == pytest.approx(slope * 0.01, rel=0.05)
            pulsed(twin, PulseKind.RESET, 2.0, 5.0)
            again = np.log(pulsed(twin, PulseKind.SET, 3.0, gate))
            assert abs(np.corrcoef(left.ravel(), again.ravel())[0, 1]) < 0.06  # of the pulse, not of the cell


def test_what_a_pulse_leaves_of_the_way_spreads_over_the_cells_and_stays_with_them() -> None:
    flat = {"quantiles": [[3e-6] * 3, [3e-6] * 3], "share": 0.9, "share_spread": 0.8}
    with chip(reset=TABLES["reset"] | flat) as twin:
        rest = []
        for _ in range(2):
            high = pulsed(twin, PulseKind.SET, 3.0, 1.0)
            low = pulsed(twin, PulseKind.RESET, 2.0, 5.0)
            rest.append(np.log(np.log(low / 3e-6) / np.log(high / 3e-6)))
        assert np.median(rest[0]) == pytest.approx(np.log(0.1), abs=0.05)
        assert rest[0].std() == pytest.approx(0.8, rel=0.05)
        assert np.allclose(rest[0], rest[1])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("strengths", [1.0, 0.5], "strengths must rise"),
        ("quantiles", [[8e-6, 10e-6, 14e-6]], "one row of quantiles"),
        ("quantiles", [[8e-6, 7e-6, 14e-6], [80e-6, 100e-6, 110e-6]], "not falling"),
        ("cycle_spread", [-0.1, 0.0], "cannot be negative"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PulseTable.model_validate(TABLES["set"] | {field: value})
