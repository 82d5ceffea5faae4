"""A script that is stopped leaves the electrodes grounded: proved from the instrument's journal."""

import sys

import pytest

from trials.stops import CODES, Nursery, grounded, stop_once
from trials.virtual_kinds import UNHELPFUL, VIRTUAL

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no forks there")


@pytest.mark.parametrize(("kind", "ways"), [("scpi", 1), ("superT", 2), ("smu and matrix", 2)])
def test_a_stopped_script_leaves_the_electrodes_grounded(kind: str, ways: int) -> None:
    """However it is stopped, on an instrument that does not help; the exit code says how."""
    with UNHELPFUL[kind]((16, 16)) as instrument, Nursery() as nursery:
        for how in list(CODES)[::ways]:
            before = len(instrument.bench.journal.entries)
            with nursery.script(instrument, how, 0.2) as script:
                assert grounded(instrument, script.stop()) is not None, how
            assert script.strange() == ""
            driven = {entry.what for entry in instrument.bench.journal.entries[before:]}
            assert {"on", "ground"} < driven, f"{how}: it was not in the middle of work"


def test_a_killed_script_grounds_the_electrodes_of_an_array_tester() -> None:
    with VIRTUAL["scpi"]((16, 16)) as instrument:
        assert stop_once(instrument, "SIGKILL", 0.2) is not None


def test_the_watchdog_bites_where_the_connection_stays() -> None:
    with VIRTUAL["scpi"]((16, 16)) as instrument:
        assert stop_once(instrument, "SIGSTOP", 0.2) is not None


def test_a_script_that_goes_on_is_not_taken_for_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The null control: nothing stops it, so it is not grounded for good."""
    monkeypatch.setattr("trials.stops._PATIENCE", 2.0)
    with VIRTUAL["scpi"]((16, 16)) as instrument:
        assert stop_once(instrument, "nothing", 0.2) is None
