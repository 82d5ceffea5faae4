"""The ArC TWO driver against a stand-in of the maker's library."""

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers import arc_two, arc_two_process
from drivers.arc_two import ArcTwoArray, ChannelMap, open_arc_two
from imssa_lab.contract.errors import ConfigError, LimitError, LinkCorrupt, LinkError, LinkLost, LinkTimeout
from imssa_lab.contract.hal import Pulses
from imssa_lab.contract.testing.electrodes import lowered
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.virtual_smu_matrix import meter_profile
from trials.electrodes.arc_two_stand_in import AuxDACFn, Instrument, library


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(BenchTwin(meter_profile("supert-a0-easy"), (32, 32), seed=5), ChannelMap.standard())


def test_all_channels_of_the_standard_map() -> None:
    assert doctest.testmod(arc_two).failed == 0
    lines = ChannelMap.standard()
    assert sorted([*lines.words, *lines.bits]) == list(range(64))
    assert set(lines.bits) == {*range(16), *range(32, 48)}


def test_the_whole_array_cell_by_cell(instrument: Instrument) -> None:
    with ArcTwoArray(library(), instrument, ChannelMap.standard()) as array:
        mask = np.zeros((32, 32), dtype=bool)
        mask[3, 30] = mask[31, 0] = True
        array.apply_pulses(Pulses.on(mask, "SET", 2.0, 1.2, 10e-6))
        true = instrument.bench.cells.conductance
        assert (true[mask] > 20 * np.median(true)).all()
        assert array.read_conductances() == pytest.approx(true, abs=8e-6)
        inputs = np.linspace(-0.2, 0.2, 32)
        assert array.read_mvm(inputs) == pytest.approx(inputs @ true, abs=4e-6)
        array.apply_pulses(Pulses.on(mask, "RESET", 2.0, 5.0, 1e-3))
        assert (instrument.bench.cells.conductance[mask] < true[mask]).all()
    assert instrument.bench.journal.grounded


def test_what_somebody_left_on_is_grounded_first(instrument: Instrument) -> None:
    ArcTwoArray(library(), instrument, ChannelMap.standard())
    assert instrument.grounded
    assert not instrument.levels.any()
    assert (instrument.selectors, instrument.aux[AuxDACFn.SELH]) == ([], 0.0)
    assert instrument.executed


def test_grounded_after_an_error(instrument: Instrument) -> None:
    array = ArcTwoArray(library(), instrument, ChannelMap.standard())
    instrument.broken = True
    with pytest.raises(LinkError, match="went away"):
        array.read_mvm(np.full(32, 0.1))
    assert instrument.grounded
    assert instrument.selectors == []


@pytest.mark.parametrize(("kind", "sign", "gate"), [("SET", 1, 1.2), ("RESET", -1, 5.0)])
def test_only_the_chosen_cell_sees_anything(instrument: Instrument, kind: str, sign: int, gate: float) -> None:
    """Computed from the levels of all 64 channels and the gates: no half-selected cell, the gate as it was asked."""
    with ArcTwoArray(library(), instrument, ChannelMap.standard()) as array:
        mask = np.zeros((32, 32), dtype=bool)
        mask[3, 30] = True
        array.apply_pulses(Pulses.on(mask, kind, 2.0, gate, 1e-3))
    rest, pulse = instrument.seen
    assert not rest.any()
    assert np.array_equal(pulse, np.where(mask, sign * 2.0, 0.0))
    (entry,) = [entry for entry in instrument.bench.journal.entries if entry.what in ("SET", "RESET")]
    assert (entry.what, entry.gate[3, 30], entry.width) == (kind, gate, 1e-3)
    assert instrument.pulsed == 0
    assert instrument.moved == 0.0  # the gate opens when the lines have settled


def test_what_is_noted_is_executed(instrument: Instrument) -> None:
    with ArcTwoArray(library(), instrument, ChannelMap.standard()) as array:
        for number in range(3):
            assert instrument.executed == 1 + number
            array.apply_pulses(Pulses.on(np.eye(32, k=-31, dtype=bool), "SET", 1.0, 1.0, 1e-6))


def test_a_lowered_read_limit_lowers_what_is_driven(instrument: Instrument) -> None:
    with ArcTwoArray(library(), instrument, ChannelMap.standard()) as array:
        array.lower_limits(lowered(array.info, 0.4))
        array.read_conductances()
        array.read_mvm(np.full(32, 0.08))
    assert instrument.bench.journal.peak("mvm")[0] == pytest.approx(0.08)


@pytest.mark.parametrize(("gate", "width"), [(5.01, 1e-6), (5.0, 39e-9)])
def test_what_the_instrument_cannot_make_is_outside_the_limits(
    instrument: Instrument, gate: float, width: float
) -> None:
    with ArcTwoArray(library(), instrument, ChannelMap.standard()) as array:
        array.apply_pulses(Pulses.on(np.eye(32, k=-31, dtype=bool), "RESET", 1.0, 5.0, 40e-9))
        with pytest.raises(LimitError):
            array.apply_pulses(Pulses.on(np.eye(32, dtype=bool), "RESET", 1.0, gate, width))
    assert len([entry for entry in instrument.bench.journal.entries if entry.what == "RESET"]) == 1


def test_a_panic_of_the_library_is_an_error_of_ours(instrument: Instrument) -> None:
    array = ArcTwoArray(library(), instrument, ChannelMap.standard())
    instrument.panics = True
    with pytest.raises(LinkLost, match="gave up"):
        array.read_mvm(np.full(32, 0.1))
    assert instrument.grounded


def test_ctrl_c_is_no_panic(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    array = ArcTwoArray(library(), instrument, ChannelMap.standard())

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(instrument, "read_slice_open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        array._read_mvm(np.full((1, 32), 0.1))
    assert instrument.grounded


def test_waits_have_a_deadline(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    array = ArcTwoArray(library(), instrument, ChannelMap.standard())
    monkeypatch.setattr(arc_two, "_PATIENCE", 0.05)
    instrument.hangs = True
    with pytest.raises(LinkTimeout, match="still busy"):
        array.read_mvm(np.full(32, 0.1))
    assert instrument.grounded


def test_currents_that_are_none(instrument: Instrument) -> None:
    array = ArcTwoArray(library(), instrument, ChannelMap.standard())
    instrument.currents_are = np.nan
    with pytest.raises(LinkCorrupt, match="bit line 0 is not a number"):
        array.read_conductances()


def test_the_instrument_refuses_what_is_over_its_limits(instrument: Instrument) -> None:
    array = ArcTwoArray(library(), instrument, ChannelMap.standard())
    pulses = Pulses.on(np.eye(32, dtype=bool), "SET", 4.0, 1.0, 1e-6)
    with pytest.raises(LinkError, match="at most 3"):
        array._apply_pulses(pulses)
    assert instrument.bench.journal.peak("SET") == (0.0, 0.0)


@pytest.mark.parametrize(("words", "bits"), [((0, 1), (1, 2)), ((0,), (64,)), ((0,), ()), (tuple(range(33)), (40,))])
def test_maps_that_are_none(words: tuple[int, ...], bits: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="ArC TWO"):
        ChannelMap(words, bits)


def test_a_map_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text("[mapping]\nwords = [3, 4, 5]\nbits = [60, 61]\n")
    assert ChannelMap.load(path).block(2, 2) == ChannelMap((3, 4), (60, 61))
    with pytest.raises(ConfigError, match="3x2"):
        ChannelMap.load(path).block(4, 1)
    path.write_text("[mapping]\nwords = [3]\n")
    with pytest.raises(ConfigError, match="words and bits"):
        ChannelMap.load(path)


@pytest.mark.parametrize(
    ("port", "options", "words"),
    [
        ("0", {}, "firmware is missing"),
        ("0", {"firmware": "f", "volts": "1"}, "unknown option 'volts'"),
        ("0", {"firmware": "nowhere.bin"}, "no such file"),
        ("x", {"firmware": __file__}, "write for example"),
        ("0", {"firmware": __file__, "block": "33x1"}, "33x1 asked"),
        ("1", {"firmware": __file__}, r"there are \[0\]"),
    ],
)
def test_options(monkeypatch: pytest.MonkeyPatch, port: str, options: dict[str, str], words: str) -> None:
    monkeypatch.setattr(arc_two_process, "LIBRARY", "tests.instruments.hanging_pyarc2")
    with pytest.raises(ConfigError, match=words):
        open_arc_two(port, options)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarc2", None)
    with pytest.raises(ConfigError, match=r"imssa-lab\[arc2\]"):
        open_arc_two("0", {"firmware": __file__})


def test_the_stand_in_has_the_interface_of_the_library() -> None:
    published: Any = pytest.importorskip("pyarc2", reason="extra arc2 is not installed")
    for name, method in inspect.getmembers(Instrument, inspect.isfunction):
        if not name.startswith("_"):
            real = inspect.signature(getattr(published.Instrument, name))
            assert len(inspect.signature(method).parameters) == len(real.parameters), name
    assert {"Float", "SoftGnd", "HardGnd"} == set(published.IdleMode.__members__)
    assert {"SELL", "SELH"} <= set(dir(published.AuxDACFn))
    assert issubclass(published.ArC2Error, Exception)
