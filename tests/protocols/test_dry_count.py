"""Dry runs: they ask nothing of the array, refuse what it would refuse, and say what really happens."""

import numpy as np
import pytest

from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import CrossbarArray, PulseKind, Pulses
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.characterisation.column_calibration import calibrate_columns, check_columns
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from protocols.programmers import PROGRAMMERS, make_programmer, recipe_of
from protocols.wrappers.counting_array import CountingArray
from protocols.wrappers.dry_run_report import DryRun, duration
from protocols.wrappers.recipe_override import RecipeOverride
from protocols.wrappers.session_counts import Counts, are_near
from trials import tiny
from twin import DigitalTwin

SHAPE = (16, 16)


class Untouchable(DigitalTwin):
    """A twin that is not to be asked anything."""

    def _fail(self, *_: object) -> None:
        raise AssertionError("a dry run asked the array")

    _read_mvm = _read_conductances = _apply_pulses = _calibrate = _wait = _fail  # type: ignore[assignment]


def targets(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(5e-6, 140e-6, SHAPE)


def test_what_is_counted_is_what_is_asked() -> None:
    dry, twin = CountingArray(Untouchable("supert-a0-easy", SHAPE, 1)), DigitalTwin("supert-a0-easy", SHAPE, 1)
    some = np.zeros(SHAPE, dtype=bool)
    some[:4] = True
    for array in (dry, twin):
        array.read_conductances(some, averages=3)
        calibrate_columns(array)
        check_columns(array)
        array.apply_pulses(Pulses.on(some, "SET", 1.5, 0.8, 10e-6))
        array.wait(2.0)
    assert dry.expected.cell_reads == 3 * 64 + 2 * 16 * 256
    assert dry.expected.products == 256 + 2 * 64
    assert (dry.expected.cells, dry.expected.pulses) == (64, 64)
    assert dry.strongest == {PulseKind.SET: (1.5, 0.8)}
    assert dry.expected.seconds(dry.info.durations) == pytest.approx(twin.time, rel=1e-6)


def test_programming_stays_below_what_is_called_most_and_near_what_is_expected() -> None:
    twin = DigitalTwin("supert-a0-easy", SHAPE, 1)
    dry = CountingArray(twin)
    dry.program_conductances(targets())
    report = twin.program_conductances(targets())
    assert report.pulses.sum() <= dry.longest.pulses
    assert 0.5 < dry.expected.pulses / report.pulses.sum() < 2
    assert report.reads * 256 <= dry.longest.cell_reads
    durations = twin.info.durations
    assert 0.5 < dry.expected.seconds(durations) / report.seconds < 2
    peaks = [(3.0, 1.4), (2.5, 5.5)]
    assert [dry.strongest[kind] for kind in (PulseKind.SET, PulseKind.RESET)] == [pytest.approx(p) for p in peaks]


@pytest.mark.parametrize("name", sorted(set(PROGRAMMERS) - {"residual"}))
def test_every_programmer_by_name_is_counted_with_its_ladders(name: str) -> None:
    twin = DigitalTwin("supert-a0-easy", SHAPE, 1)
    dry = CountingArray(twin)
    dry.program_conductances(targets(), None, make_programmer(name, recipe_of(twin)))
    assert dry.expected.cells == 256
    assert dry.expected.pulses > 0
    assert set(dry.strongest) == {PulseKind.SET, PulseKind.RESET}


def test_a_pulse_budget_bounds_the_pulses() -> None:
    twin = RecipeOverride(DigitalTwin("supert-a0-easy", SHAPE, 1), None, {"pulse_budget": 7})
    dry = CountingArray(twin)
    dry.program_conductances(targets())
    assert dry.expected.pulses == dry.longest.pulses == 7 * 256


def test_a_ladder_above_the_limits_is_refused_before_the_first_pulse() -> None:
    twin = DigitalTwin("supert-a0-easy", SHAPE, 1)
    limits = twin.info.limits
    twin.lower_limits(limits.model_copy(update={"reset": limits.reset.model_copy(update={"voltage_max": 2.0})}))
    with pytest.raises(LimitError, match=r"RESET voltage 2\.5 V asked, at most 2 V"):
        CountingArray(twin).program_conductances(targets())


def test_a_deployment_is_counted_and_nothing_is_asked() -> None:
    sequences = Sequences(*tiny.sequences())
    dry = CountingArray(Untouchable("ideal", SHAPE, 0))
    counted = deploy(tiny.bundle(), [dry], sequences, DeploymentChoices(mending=False))
    real = DigitalTwin("ideal", SHAPE, 0)
    outcome = deploy(tiny.bundle(), [real], sequences, DeploymentChoices(mending=False))
    assert counted.passed
    assert dry.expected.cells == np.isfinite(outcome.targets[0]).sum()
    assert dry.expected.products > counted.product_reads > 0
    assert counted.product_reads == outcome.product_reads


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (119.9, "119.9 s"), (120, "2.0 min"), (7199, "120.0 min"), (7200, "2.0 h"), (90_000, "25.0 h")],
)
def test_a_time_is_said_in_the_largest_unit_of_which_it_is_two_or_more(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_without_durations_the_time_is_not_made_up() -> None:
    array = DigitalTwin("ideal", SHAPE, 0)
    array._info = array.info.model_copy(update={"durations": None})
    dry = CountingArray(array)
    dry.read_conductances()
    facts = dict(DryRun.of([dry]).facts())
    assert facts["device time"].startswith("not known")
    assert facts["readings of cells"].startswith("at most 256")


@pytest.fixture(params=["twin", "bit-serial twin", "board", "rows, two steps"])
def timed(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """Arrays with a clock, whose drivers say how long operations take."""
    from imssa_lab.station.addresses import open_array

    if "twin" in request.param:
        yield DigitalTwin("supert-a0-easy" if request.param == "twin" else "supert-a0", SHAPE, 1)
        return
    more = "&cells=rows&adc=two-step" if request.param != "board" else ""
    with PtyPort(SuperTBoard(seed=1)) as port, open_array(f"serial+supert-a0:{port.port}?array=0{more}") as array:
        yield array


def test_durations_are_those_of_the_clock(timed: CrossbarArray) -> None:
    durations = timed.info.durations
    assert durations is not None
    cells = np.zeros(timed.info.shape, dtype=bool)
    cells[0, :3] = True
    start = timed.time
    timed.read_conductances(averages=2)
    read = timed.time
    signs = np.where(np.arange(timed.info.rows) % 2, 1, -1 if timed.info.input_signed else 1)
    timed.read_mvm(0.1 * np.tile(signs, (4, 1)))
    product = timed.time
    timed.apply_pulses(Pulses.on(cells, "RESET", 0.5, 5.0, 1e-3))
    pulsed = timed.time
    assert read - start == pytest.approx(2 * cells.size * durations.cell_read)
    assert product - read == pytest.approx(4 * durations.product)
    assert pulsed - product == pytest.approx(3 * (durations.pulse + 1e-3))


def test_a_forecast_is_near_most_rehearsals() -> None:
    """A chip that takes ten times as much does not move it, nor does it keep to the crowd at the low end."""
    sessions = [Counts(10, 100, 0.1, 5, 7, 0.0, 1000), Counts(10, 102, 0.1, 6, 9, 0.0, 1000)]
    sessions += [Counts(10, 170, 0.1, 5, 8, 2.0, 1000), Counts(90, 1000, 1.0, 50, 80, 0.0, 9000)]
    forecast = Counts.forecast(sessions)
    # near 100, 102 and 170 are 119 to 130; the median, 136, is near one of them
    assert forecast.pulses == round((0.7 * 170 + 1.3 * 100) / 2)
    assert are_near(forecast.pulses, [each.pulses for each in sessions]) == 3
    assert are_near(136, [each.pulses for each in sessions]) == 1
    assert (forecast.cells, forecast.waited, forecast.log_bytes) == (10, 0.0, 1000)
    assert forecast.widths == pytest.approx(0.1)
    assert Counts.forecast(sessions[:1]) == sessions[0]


def test_a_forecast_of_rehearsals_that_disagree_is_one_of_them() -> None:
    assert Counts.forecast([Counts(pulses=each) for each in (10, 100, 1000)]).pulses == 100
    assert Counts.forecast([Counts(pulses=each) for each in (0, 0, 100)]).pulses == 0
