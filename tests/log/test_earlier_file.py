"""A run file of format 2 that earlier code wrote is read, verified and replayed byte for byte."""

import hashlib
from pathlib import Path

import pytest

from imssa_lab.contract.errors import ReplayMismatch
from imssa_lab.log import open_run
from imssa_lab.log.care.verify import verify
from trials.earlier_session import SHA256, replayed_bytes, unpacked


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    return unpacked(tmp_path)


def test_it_replays_byte_for_byte(earlier: Path) -> None:
    answers, left = replayed_bytes(earlier)
    assert left == 0
    assert hashlib.sha256(answers).hexdigest() == SHA256


def test_it_verifies_and_keeps_its_provenance(earlier: Path) -> None:
    assert verify(earlier).good
    with open_run(earlier) as run:
        assert run.closed_cleanly
        assert run.provenance == {"title": "a session before the move"}
        assert [info.shape for info in run.infos] == [(6, 4), (6, 4)]


def test_null_control_another_request_is_refused(earlier: Path) -> None:
    with open_run(earlier) as run, pytest.raises(ReplayMismatch, match="call 0"):
        run.arrays()[0].read_conductances(averages=3)
