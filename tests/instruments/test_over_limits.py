"""Requests over lowered limits on every driver: what the electrodes saw decides."""

import pytest

from trials.electrodes.over_limits import DRIVERS, over_limits


@pytest.mark.parametrize("driver", DRIVERS)
def test_electrodes_never_see_more_than_a_lowered_limit(driver: str) -> None:
    seen = over_limits(driver, 60, seed=2, ways=("station entry", "threads"))
    assert seen.over == {}
    assert seen.strange == []
    assert seen.driven > 3
    assert seen.refused["LimitError"] > 15


def test_the_same_requests_pass_a_limit_that_nobody_lowered() -> None:
    """The null control."""
    assert over_limits("scpi", 150, seed=7, ways=("script",), lowered=False).over.total() > 3
