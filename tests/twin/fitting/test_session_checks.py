"""What a recorded session says of a twin: everything that it holds, by its own programmers, and no more than that."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, ProgrammingReport
from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log import open_run, record
from imssa_lab.log.write.programming_events import Aim, aim_text, programmer_text, read_aim
from protocols.characterisation.experiments import Schedule
from protocols.characterisation.protocol import Characterisation
from protocols.programmers import Incremental, WriteVerify, recipe_of
from twin import DigitalTwin, TwinProfile
from twin.fitting.checking.session_answers import Said, calls_of, repeated
from twin.fitting.checking.session_statistics import SessionStatistics
from twin.fitting.comparison import Comparison, compare_twin
from twin.fitting.tables.run_tables import programming_table, relaxation_table

BOARD = TwinProfile.load("supert-a0-easy")
SHAPE = (20, 20)


def session(path: Path, use: Callable[[CrossbarArray], object], seed: int = 99) -> Path:
    with record(path / "run.h5", [DigitalTwin(BOARD, SHAPE, seed)], {}) as (array,):
        use(array)
    return path / "run.h5"


def against(path: Path, profile: TwinProfile = BOARD) -> Comparison:
    with open_run(path) as run:
        return compare_twin(run, profile, (0, 1))


@pytest.fixture(scope="module")
def characterised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stuck map, SET and RESET response of one cell in four, relaxation and noise."""
    path = tmp_path_factory.mktemp("characterised")
    schedule = Schedule(sample=4, reads=6, reads_at_once=6, times=(10.0,), averages=2)
    only = ["stuck", "pulses", "relaxation", "noise"]
    return session(path, lambda array: Characterisation(array, path / "c", schedule=schedule, only=only).run())


def test_everything_that_a_characterisation_holds_is_compared(characterised: Path) -> None:
    found = against(characterised)
    assert found.verdict == "agree", found.apart
    assert {one.aspect for one in found.statistics} == {
        *("programming", "read noise", "change with time", "pulse response", "stuck cells")
    }
    missing = [text.split(":")[0] for text in found.not_compared]
    assert {"products", "I-V"} <= set(missing)
    assert not any("by a loop" in text for text in found.not_compared)  # GateStart, as the experiment uses it


@pytest.mark.parametrize(
    ("planted", "statistic"),
    [
        (
            {"set": BOARD.set.model_copy(update={"cycle_spread": 2 * BOARD.set.cycle_spread})},
            "scatter of strong SETs",
        ),
        ({"stuck": BOARD.stuck.model_copy(update={"on_fraction": 0.1})}, "cells that pulses do not move"),
        (
            {"read_noise": BOARD.read_noise.model_copy(update={"sd_median": 2 * BOARD.read_noise.sd_median})},
            "noise from reading to reading",
        ),
    ],
)
def test_a_twin_with_another_law_is_found_by_name(
    characterised: Path, planted: dict[str, object], statistic: str
) -> None:
    found = against(characterised, BOARD.model_copy(update=planted))
    assert found.verdict == "differ"
    assert any(one.name.startswith(statistic) for one in found.apart)


def targets() -> FloatArray:
    return np.random.default_rng(0).uniform(20e-6, 120e-6, SHAPE)


def test_a_session_by_another_programmer_is_repeated_by_that_programmer(tmp_path: Path) -> None:
    def use(array: CrossbarArray) -> None:
        array.program_conductances(targets(), None, Incremental(recipe=recipe_of(array)))
        array.read_conductances(averages=5)

    found = against(session(tmp_path, use))
    assert found.verdict == "agree", found.apart
    assert "pulses per cell" in {one.name for one in found.statistics}
    own = {one.name for one in against(session_by_own_recipe(tmp_path / "own")).statistics}
    assert own >= {"pulses per cell", "programming error"}


def session_by_own_recipe(path: Path) -> Path:
    path.mkdir()
    return session(path, lambda array: array.program_conductances(targets()))


def test_a_loop_that_the_record_does_not_name_is_not_compared(tmp_path: Path) -> None:
    def once(array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        return recipe_of(array).model_copy(update={"max_steps": 3})(array, target, mask)

    def use(array: CrossbarArray) -> None:
        array.program_conductances(targets(), None, once)
        array.read_conductances(averages=5)

    found = against(session(tmp_path, use))
    assert "programming error" not in {one.name for one in found.statistics}
    assert any("by a loop that the record does not name" in text for text in found.not_compared)
    assert found.verdict == "agree"  # what was read of the cells where that loop left them


def test_a_session_that_holds_too_little_decides_nothing(tmp_path: Path) -> None:
    found = against(session(tmp_path, lambda array: array.program_conductances(targets())))
    assert found.apart == []
    assert found.verdict == "not decidable"


def test_a_programmer_is_written_with_its_settings_and_one_without_is_not() -> None:
    recipe = WriteVerify.model_validate(BOARD.recipe.model_dump())
    loop = Incremental(recipe=recipe)
    text = programmer_text(loop)
    assert text is not None
    aim = read_aim(aim_text(Aim(1, np.full((2, 2), 1e-5), text)))
    assert aim.array == 1
    assert aim.programmer == text
    name, _, settings = text.partition(" ")
    assert name == "Incremental"
    assert Incremental.model_validate_json(settings) == loop
    assert programmer_text(lambda array, target, mask: None) is None
    assert read_aim(aim_text(Aim(0, np.full((2, 2), 1e-5)))).programmer is None


def test_the_levelling_pass_of_the_relaxation_experiment_is_no_programming(
    characterised: Path, tmp_path: Path
) -> None:
    """Forty steps at most, as its levels need not be exact: pooled, it nearly doubled the error of a recipe."""
    path = tmp_path / "both"
    path.mkdir()
    schedule = Schedule(times=(10.0,))

    def use(array: CrossbarArray) -> None:
        Characterisation(array, path / "c", schedule=schedule, only=["relaxation", "programming"]).run()

    table = programming_table(session(path, use))
    assert table.size == SHAPE[0] * SHAPE[1]
    assert any("another programmer" in str(remark) for remark in table.remarks)
    alone = programming_table(characterised)  # nothing else was programmed: that pass is what there is
    assert alone.size == SHAPE[0] * SHAPE[1]


def test_reads_in_quick_succession_are_one_look_at_a_cell(tmp_path: Path) -> None:
    """Fifty reads for noise would outweigh the looks after ten and a hundred seconds, and slow a fit down."""

    def use(array: CrossbarArray) -> None:
        array.program_conductances(targets())
        for seconds in (10.0, 90.0):
            array.wait(seconds)
            for _ in range(6):
                array.read_conductances()

    table = relaxation_table(session(tmp_path, use))
    times = np.unique(np.round(table["time"], 1))
    assert table.size == 2 * SHAPE[0] * SHAPE[1]
    assert times[0] == pytest.approx(10.0, rel=0.1)
    assert times[-1] == pytest.approx(100.0, rel=0.1)


def test_cells_programmed_by_statistics_are_re_read_as_often_as_the_session_did(tmp_path: Path) -> None:
    """Else noise of one reading stands against that of a mean in all that is compared with what a loop left."""
    base = TwinProfile.load("ideal").model_dump(exclude_none=True)
    noise = {"reference": 50e-6, "sd_median": 2e-6, "sd_spread": 0.0, "exponent": 0.0}
    profile = TwinProfile.model_validate(base | {"read_noise": noise})
    loop = WriteVerify.model_validate(profile.recipe.model_dump() | {"max_steps": 2, "verify_averages": 9})
    with record(tmp_path / "run.h5", [DigitalTwin(profile, (16, 16), 1)], {}) as (chip,):
        chip.program_conductances(np.full((16, 16), 50e-6), None, loop)
    with open_run(tmp_path / "run.h5") as run:
        answers = repeated(run, calls_of(run, 0, run.infos[0]), DigitalTwin(profile, (16, 16), 2))
        (report,) = [said.report for said in answers if said.report is not None]
    assert np.std(report.achieved - 50e-6) == pytest.approx(2e-6 / 3, rel=0.15)


def test_products_give_every_bit_line_its_gain_its_offset_and_what_is_left() -> None:
    rng = np.random.default_rng(3)
    cells, volts = rng.uniform(2e-6, 150e-6, (12, 5)), rng.uniform(-0.2, 0.2, (40, 12))
    cells[:, 4] = 0.0  # nothing comes of it: no gain to be had
    gain, offset = np.array([0.8, 0.9, 1.0, 1.1, 1.0]), np.array([0.0, 1e-7, -2e-7, 3e-7, 0.0])
    noise = 1e-8 * rng.standard_normal((40, 5))
    answers = [
        Said("read_conductances", 0.0, values=cells[np.newaxis]),
        Said("read_mvm", 1.0, values=volts @ cells * gain + offset + noise, volts=volts),
    ]
    found = SessionStatistics(148e-6).take(answers)
    assert found["products|gain of bit lines|1"] == pytest.approx(gain[:4], abs=2e-3)
    assert found["products|offset of bit lines|A"] == pytest.approx(offset[:4], abs=1e-8)
    assert found["products|error of products after gain and offset|A"] == pytest.approx(np.full(4, 1e-8), rel=0.4)


def test_looks_after_programming_give_steps_from_one_age_to_the_next() -> None:
    target = np.full((2, 2), 50e-6)
    ends = np.full((2, 2), CellOutcome.REACHED, dtype=np.uint8)
    left = ProgrammingReport(target, target, np.ones((2, 2), np.int32), ends, 4e-6, 1.0, 1)
    moved = {11.0: 1e-6, 12.0: 2e-6, 110.0: 5e-6, 1010.0: 9e-6}  # of ages 1, 2, 100 and 1,000 s
    answers = [Said("program", 10.0, report=left)]
    for when, by in moved.items():
        answers += [Said("read_conductances", when, values=(target + by)[np.newaxis]), Said("waits", when)]
    found = SessionStatistics(148e-6).take(answers)
    steps = {name.split("|")[1]: values for name, values in found.items() if "step from" in name}
    assert list(steps) == ["step from about 1 s to 100 s", "step from about 100 s to 1000 s"]
    assert steps["step from about 1 s to 100 s"] == pytest.approx(3e-6)  # from the last look at that age
    assert steps["step from about 100 s to 1000 s"] == pytest.approx(4e-6)
