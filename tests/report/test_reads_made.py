"""V^2 G of every read in a run, against a sum that goes through the records one by one."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.log import open_run, record
from imssa_lab.report.measured import reads_made
from trials.counting_twin import power_by_records
from twin import DigitalTwin

PULSED = 2, 3


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products before anything is known, after all cells were read, after a pulse, and after that cell again."""
    path = tmp_path_factory.mktemp("reads") / "run.h5"
    random = np.random.default_rng(0)
    arrays = [DigitalTwin("supert-a0", (6, 5), seed=1), DigitalTwin("supert-a0-easy", (6, 5), seed=2)]
    with record(path, arrays, {}) as chips:
        for chip in chips:
            with chip:
                some = random.random((6, 5)) < 0.5
                chip.read_mvm(random.uniform(0, 0.2, (3, 6)))
                chip.read_conductances(some, averages=2)
                chip.read_mvm(random.uniform(0, 0.2, 6))
                chip.read_conductances(averages=3)
                chip.read_mvm(np.where(random.random((4, 6)) < 0.5, 0.0, 0.13))
                one = np.zeros((6, 5), dtype=np.bool_)
                one[PULSED] = True
                chip.apply_pulses(Pulses.on(one, PulseKind.SET, 1.5, 1.0, 1e-6))
                chip.read_mvm(random.uniform(0, 0.2, (2, 6)))
                chip.read_conductances(one)
                chip.read_mvm(random.uniform(0, 0.2, (2, 6)))
    return path


def test_the_sum_is_that_over_the_records(file: Path) -> None:
    told: list[tuple[int, int]] = []
    with open_run(file) as run:
        found = reads_made(run, lambda done, total: told.append((done, total)))
        for index, counts in enumerate(found):
            power, one_bit, unknown = power_by_records(run, index)
            assert counts.square_volts_siemens == pytest.approx(power, rel=1e-9)
            assert power > 1e-6
            assert (counts.one_bit, counts.unknown) == (one_bit, unknown)
            assert counts.conversions == 5 * one_bit
            assert counts.vectors == one_bit / (8, 1)[index] == 12
            assert counts.crossings == 5 * counts.drives + counts.cell_reads
            mask_cells = counts.cell_reads - 3 * 30 - 1
            assert mask_cells > 0
            assert mask_cells % 2 == 0
    assert told[-1][0] == told[-1][1]


def test_a_run_without_reads_took_none(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (4, 4))], {}):
        pass
    with open_run(tmp_path / "run.h5") as run:
        (counts,) = reads_made(run)
    assert (counts.vectors, counts.cell_reads, counts.square_volts_siemens) == (0, 0, 0.0)
