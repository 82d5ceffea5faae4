"""Waiting for a wire: which of some files are ready, with numbers that `select` cannot take, and without `poll`."""

import os
import select

import pytest

from imssa_lab.contract.operating_system import Ready

WITH_POLL = pytest.mark.skipif(not hasattr(select, "poll"), reason="this system has no poll, and select ends at 1023")


@pytest.mark.parametrize("number", [None, pytest.param(1500, marks=WITH_POLL)])
def test_a_file_is_ready_once_something_has_come(number: int | None) -> None:
    """Of a number beyond 1023, too, which a long session reaches and `select` refuses."""
    end, other = os.pipe()
    watched = end if number is None else os.dup2(end, number)
    try:
        ready = Ready(watched)
        assert ready(0) == []
        os.write(other, b"x")
        assert ready(1000) == [watched]
        assert Ready(other, write=True)(0) == [other]
    finally:
        for file in {end, watched, other}:
            os.close(file)


def test_where_there_is_no_poll_select_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    end, other = os.pipe()
    try:
        ready = Ready(end)
        assert ready(0) == []
        os.write(other, b"x")
        assert ready(1000) == [end]
        assert Ready(other, write=True)(0) == [other]
    finally:
        os.close(end)
        os.close(other)
