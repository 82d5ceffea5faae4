"""Other instruments in the same run: values with unit and time beside the calls; none of them ends it."""

import numpy as np
import pytest

from imssa_lab import measured, open_run, plots, record
from imssa_lab.contract.errors import LogError
from imssa_lab.log.care.verify import verify
from imssa_lab.report.live import LiveView
from twin import DigitalTwin


class Cryostat:
    """A controller that warms by 1 K at every look, with a parameter as QCoDeS has them."""

    unit = "K"

    def __init__(self):
        self.kelvin, self.broken = 290.0, False

    def __call__(self):
        if self.broken:
            raise TimeoutError("no answer")
        self.kelvin += 1.0
        return np.float32(self.kelvin)


def test_readings_come_every_so_many_calls_with_unit_and_time(tmp_path):
    cryostat = Cryostat()
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (3, 2), seed=0)], {}) as (chip,), chip:
        chip.log.measure("humidity", 41, "%")
        chip.log.poll("temperature", cryostat, every_calls=3)
        chip.log.poll("pressure", lambda: 1e-3, "Pa", every_seconds=1000)
        for _ in range(7):
            chip.read_conductances()
    with open_run(tmp_path / "run.h5") as run:
        data = measured.other_instruments(run)
        assert data["temperature"].values.tolist() == [291.0, 292.0]
        assert data["temperature"].attrs["units"] == "K"
        assert data["humidity"].values.tolist() == [41.0]
        assert data["pressure"].values.tolist() == [1e-3]  # once: the interval has not passed again
        reads = run.column("read_conductances", "seq").tolist()
        before = [sum(seq < number for seq in reads) for number in data["temperature record"].values.tolist()]
        assert before == [3, 6]
        walls = run.column("read_conductances", "wall_time")
        when = data["temperature time"].values.astype("int64") / 1e9
        assert walls[2] - 1e-3 <= when[0] <= walls[3] + 1e-3
        assert len(plots.other_instruments(run).axes) == 3
    assert verify(tmp_path / "run.h5").good
    with LiveView(tmp_path / "run.h5") as view:
        assert view.state()["readings"]["temperature"] == [292.0, "K"]


def test_a_replay_gives_the_calls_between_readings(tmp_path):
    voltages = [0.1, 0.0, 0.2]
    with record(tmp_path / "run.h5", [DigitalTwin("supert-a0-easy", (3, 2), seed=0)], {}) as (chip,), chip:
        chip.log.poll("temperature", Cryostat(), every_calls=1)
        answers = [chip.read_mvm(voltages) for _ in range(3)]
    with open_run(tmp_path / "run.h5") as run:
        (again,) = run.arrays()
        np.testing.assert_array_equal([again.read_mvm(voltages) for _ in range(3)], answers)


def test_an_instrument_that_fails_is_an_event_and_ends_nothing(tmp_path):
    cryostat = Cryostat()
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (3, 2), seed=0)], {}) as (chip,), chip:
        chip.log.poll("temperature", cryostat, every_calls=1)
        chip.log.poll("mode", lambda: "cold", "K", every_calls=1)  # no number
        chip.read_conductances()
        cryostat.broken = True
        chip.read_conductances()
        cryostat.broken = False
        chip.read_conductances()
    with open_run(tmp_path / "run.h5") as run:
        assert measured.other_instruments(run)["temperature"].values.tolist() == [291.0, 292.0]
        said = [text for _, text in run.events("reading failed")]
        assert said.count("temperature: TimeoutError: no answer") == 1
        assert sum(text.startswith("mode: LogError") for text in said) == 3


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda log: log.measure("t", "warm", "K"), "t"),
        (lambda log: log.measure("t", True, "K"), "t"),
        (lambda log: log.measure("", 1.0, "K"), "name"),
        (lambda log: log.measure("t", 1.0, "K" * 17), "unit"),
        (lambda log: log.poll("t", lambda: 1.0, "K"), "every_calls or every_seconds"),
        (lambda log: log.poll("t", lambda: 1.0, "K", every_calls=1, every_seconds=1.0), "one of them"),
        (lambda log: log.poll("t", lambda: 1.0, "K", every_calls=0), "above 0"),
    ],
)
def test_nonsense_is_refused(ask, words, tmp_path):
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (3, 2), seed=0)], {}) as (chip,), chip:
        with pytest.raises(LogError, match=words):
            ask(chip.log)
        assert chip.log.next_seq == 0


def test_one_name_has_one_unit(tmp_path):
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (3, 2), seed=0)], {}) as (chip,), chip:
        chip.log.measure("temperature", 300.0, "K")
        chip.log.measure("temperature", 26.9, "degC")
    with open_run(tmp_path / "run.h5") as run, pytest.raises(LogError, match="one unit"):
        measured.other_instruments(run)
