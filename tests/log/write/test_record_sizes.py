"""The size of a log that is said beforehand, beside that of the file."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import record
from imssa_lab.log.write.record_sizes import EMPTY, RecordSizes
from protocols.wrappers.session_counts import Tally
from twin import DigitalTwin


def products(array: Tally) -> None:
    array.read_mvm(np.random.default_rng(0).uniform(0.0, 0.2, (3000, array.info.rows)))


def whole_reads(array: Tally) -> None:
    array.read_conductances(averages=100)


def single_cells(array: Tally) -> None:
    one = np.zeros(array.info.shape, dtype=np.bool_)
    for cell in range(600):
        one.flat[:] = False
        one.flat[6 * cell] = True
        array.read_conductances(one)


def pulses(array: Tally) -> None:
    for _ in range(40):
        array.apply_pulses(Pulses.on(np.ones(array.info.shape, dtype=np.bool_), "SET", 1.0, 0.8, 1e-6))


def programming(array: Tally) -> None:
    array.program_conductances(np.full(array.info.shape, 40e-6))


@pytest.mark.parametrize("session", [products, whole_reads, single_cells, pulses, programming])
@pytest.mark.parametrize("profile", ["supert-a0-easy", "supert-a0"])  # codes, and amperes
def test_the_file_is_as_large_as_was_said(session, profile: str, tmp_path: Path) -> None:
    twin = DigitalTwin(profile, (64, 64), 1)
    with record(tmp_path / "empty.h5", [twin], {}) as (recorded,):
        recorded.read_conductances(averages=1)
    empty = (tmp_path / "empty.h5").stat().st_size
    with record(tmp_path / "run.h5", [twin], {}) as (recorded,):
        tally = Tally(recorded)
        session(tally)
    found = (tmp_path / "run.h5").stat().st_size - empty
    assert EMPTY + tally.counts.log_bytes == pytest.approx(found + empty, rel=0.25)
    assert tally.counts.log_bytes == pytest.approx(found, rel=0.35, abs=400_000)


@pytest.mark.parametrize("profile", ["supert-a0-easy", "supert-a0"])
def test_the_least_size_of_products_is_that_of_one_call_that_drives_nothing(profile: str) -> None:
    sizes = RecordSizes(DigitalTwin(profile, (64, 64), 1).info)
    for vectors in (2_000, 20_000):
        driven = np.random.default_rng(0).uniform(0.0, 0.2, (vectors, 64))
        assert sizes.least_of_products(vectors) == pytest.approx(sizes.products(np.zeros((vectors, 64))), rel=0.05)
        assert 0 < sizes.least_of_products(vectors) < sizes.products(driven)


def test_a_script_may_say_what_its_log_takes(tmp_path: Path) -> None:
    twin = DigitalTwin("ideal", (4, 4))
    with pytest.raises(LogError, match="the log will take about 1000000000 MB"):
        record(tmp_path / "run.h5", [twin], {}, takes=1e15).__enter__()
    assert not (tmp_path / "run.h5").exists()
    with pytest.raises(LogError, match="does not exist; make it first"):
        record(tmp_path / "none" / "run.h5", [twin], {}, takes=1e15).__enter__()
    with record(tmp_path / "run.h5", [twin], {}, takes=1e3) as (array,):
        array.read_conductances()
