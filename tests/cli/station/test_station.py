import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.station.addresses import addresses, open_array, open_arrays


def test_opens_a_twin_with_its_options():
    with open_array("twin:ideal?seed=3&shape=4x6") as array:
        assert array.info.shape == (4, 6)
        assert array.info.serial == "seed 3"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("twinn:ideal", "did you mean 'twin'"),
        ("twinn:ideal", "known are .*replay.*twin"),
        ("telescope:x", "no driver 'telescope'"),
        ("twin", "SCHEME:PLACE"),
        ("twin:", "SCHEME:PLACE"),
        (":ideal", "SCHEME:PLACE"),
        ("", "SCHEME:PLACE"),
        ("twin:ideal?seed", "'seed' is not name=value"),
        ("twin:ideal?seed=", "'seed=' is not name=value"),
        ("twin:ideal?", "'' is not name=value"),
        ("twin:ideal?seed=1&", "'' is not name=value"),
        ("twin:ideal?seed=1&seed=2", "'seed' is given twice"),
        ("twin:ideal?sede=1", "unknown option"),
    ],
)
def test_wrong_addresses_say_what_is_wrong(address, said):
    with pytest.raises(ConfigError, match=said):
        open_array(address)


def test_index_counts_the_arrays():
    arrays = open_arrays("twin:ideal?seed={index}&shape=2x2", 3)
    assert [array.info.serial for array in arrays] == ["seed 0", "seed 1", "seed 2"]
    assert addresses("twin:ideal?seed={index}", 2, first=1000) == ["twin:ideal?seed=1000", "twin:ideal?seed=1001"]
    boards = addresses("serial+supert-a0:/dev/ttyACM{index//3}?array={index%3}", 2, first=5)
    assert boards == ["serial+supert-a0:/dev/ttyACM1?array=2", "serial+supert-a0:/dev/ttyACM2?array=0"]
    assert addresses("visa+scpi:TCPIP::a::{index+5025}::SOCKET", 1, first=2) == ["visa+scpi:TCPIP::a::5027::SOCKET"]


def test_without_index_there_is_one_array_only():
    assert addresses("twin:ideal", 1) == ["twin:ideal"]
    with pytest.raises(ConfigError, match="index"):
        open_arrays("twin:ideal", 2)
    with pytest.raises(ConfigError, match="at least 1"):
        open_arrays("twin:ideal", 0)


def test_what_was_open_is_closed_when_a_later_array_fails(monkeypatch):
    from twin import DigitalTwin

    closed = []
    monkeypatch.setattr(DigitalTwin, "_close", lambda self: closed.append(self.info.shape))
    with pytest.raises(ConfigError):
        open_arrays("twin:ideal?seed=-{index}&shape=2x2", 2)  # -0 is a seed, -1 is none
    assert closed == [(2, 2)]
