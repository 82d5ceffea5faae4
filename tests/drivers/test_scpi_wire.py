"""What an SCPI array tester says about itself, as the contract has it."""

import pytest

from drivers.scpi.wire import Seconds


@pytest.mark.parametrize("said", [{"vector": 1e-3}, {"cell": 1e-3}, {"pulse": 1e-3}])
def test_one_duration_is_enough_for_an_instrument_to_have_announced_some(said: dict[str, float]) -> None:
    durations = Seconds.model_validate(said).durations
    assert durations is not None
    found = {"vector": durations.product, "cell": durations.cell_read, "pulse": durations.pulse}
    assert found == {"vector": 0.0, "cell": 0.0, "pulse": 0.0} | said


def test_an_instrument_that_announces_none_has_none() -> None:
    assert Seconds().durations is None
