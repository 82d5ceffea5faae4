"""A host session with the virtual superT A0, written from its fact sheet: what every wire sets is what cells see."""

import numpy as np
import pytest

from imssa_lab.virtual.electrode_journal import Entry
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from tests.instruments.supert_a0.supert_host import (
    HI_CMP,
    OHM,
    PLANE_VPP,
    TEST_IN,
    VREF_TIA,
    Host,
    amperes,
    whole_array,
)
from twin.profile import TwinProfile


@pytest.fixture
def board() -> SuperTBoard:
    profile = TwinProfile.load("supert-a0-easy")
    quiet = profile.read_noise.model_copy(update={"sd_median": 0.0})
    made = SuperTBoard(profile.model_copy(update={"read_noise": quiet}), seed=5)
    made.benches[0].cells.conductance[:] = np.linspace(20e-6, 120e-6, 4096).reshape(64, 64)
    return made


@pytest.fixture
def host(board: SuperTBoard) -> Host:
    host = Host(board)
    host.power_on()
    return host


def current(host: Host, row: int = 3, col: int = 5, auto: int = 1) -> float:
    word = int.from_bytes(host.say(f"401,0,{row},{col},{auto}"), "little")
    host.pads_default()
    return amperes(word & 1023, word >> 10)


def last(board: SuperTBoard, what: str) -> Entry:
    return [entry for entry in board.journal.entries if entry.what == what][-1]


class TestWhatAReadSees:
    def test_half_the_voltage_is_half_the_current(self, host: Host, board: SuperTBoard) -> None:
        true = board.benches[0].cells.conductance[3, 5]
        for voltage in (0.1, 0.2, 0.3):
            host.read_setup(voltage)
            assert current(host) == pytest.approx(voltage * true, rel=0.03)  # one G, by the true voltage

    def test_the_gate_lets_through(self, host: Host) -> None:
        seen = []
        for gate in (0.0, 1.5, 5.0):
            host.read_setup(0.2, gate=gate)
            seen.append(current(host))
        assert seen[0] == 0.0
        assert 0.1 * seen[2] < seen[1] < 0.9 * seen[2]

    def test_reversed_polarity_reverses_the_current(self, host: Host) -> None:
        """With the columns' reference at 1 V the ADC sees both signs: 0.5 V of it below zero current."""
        host.read_setup(0.2, gain=2, reference=1.0)
        forward = current(host, auto=0)
        host.read_setup(-0.2, gain=2, reference=1.0)
        backward, zero = current(host, auto=0), 0.5 / 30e3
        assert backward - zero == pytest.approx(-(forward - zero), abs=1.5 * 3.5 / 1023 / 30e3)
        assert forward - zero > 3e-6
        host.read_setup(-0.2)
        assert current(host) == 0.0  # at 0.5 V there is no room below

    def test_the_read_voltage_is_between_two_references(self, host: Host, board: SuperTBoard) -> None:
        host.read_setup(0.2)
        host.volts(PLANE_VPP, 0.1)
        current(host)
        entry = last(board, "cells")
        assert entry.voltage[3, 5] == pytest.approx(0.4, abs=1e-3)
        assert np.count_nonzero(~np.isnan(entry.voltage)) == 1
        assert entry.gate.tolist() == pytest.approx([5.0], abs=1e-3)
        host.volts(VREF_TIA, 0.1)
        assert current(host) == 0.0

    def test_amplifiers_that_were_never_configured(self, host: Host, board: SuperTBoard) -> None:
        host.volts(PLANE_VPP, 0.3)
        host.volts(VREF_TIA, 0.5)
        host.volts(6, 5.0)
        words = whole_array(host.say("402,0,0,500"))
        assert (words == 0).all()
        for chain in (0, 1):  # sent, and not latched
            host.say(f"303,{chain},120", bytes.fromhex("C4310C4310") * 24)
        assert (whole_array(host.say("402,0,0,500")) == 0).all()
        host.strobe("UPDATE_TIA_CONF")
        assert (whole_array(host.say("402,0,0,500")) > 0).all()

    @pytest.mark.parametrize("gain", range(5))
    def test_a_fixed_gain_answers_with_itself(self, host: Host, board: SuperTBoard, gain: int) -> None:
        host.read_setup(0.2, gain=gain)
        word = int.from_bytes(host.say("401,0,3,5,0"), "little")
        ideal = 0.2 * board.benches[0].cells.conductance[3, 5] * OHM[gain] / 3.5 * 1023
        assert word >> 10 == gain
        assert word & 1023 == pytest.approx(min(ideal, 1023), abs=1)

    @pytest.mark.parametrize("gain", [0, 2])
    def test_products_keep_a_fixed_gain_unless_they_are_told_to_choose(self, host: Host, gain: int) -> None:
        host.read_setup(0.2, gain=gain)
        host.load([3], range(64))
        for mode, gains in ((0, {gain}), (1, {gain}), (2, {3, 4}), (3, {3, 4})):  # of cells below 18 uA
            words = np.frombuffer(host.say(f"403,0,1,{mode},0", (1 << 3).to_bytes(8, "big"))[:128], "<u2")
            assert {int(word) >> 10 for word in words} == gains, mode

    def test_one_chain_alone_serves_half_of_the_columns(self, host: Host) -> None:
        host.read_setup(0.2)
        host.say("303,1,120", bytes(120))
        host.strobe("UPDATE_TIA_CONF")
        assert np.array_equal((whole_array(host.say("402,0,1,500")) > 0).all(axis=0), np.arange(64) % 2 == 0)

    def test_a_short_hold_is_seen_at_the_largest_resistance(self, host: Host, board: SuperTBoard) -> None:
        board.benches[0].cells.conductance[:] = 5e-6
        host.read_setup(0.2)
        settled = current(host)
        host.say("303,2,7", bytes((0x10, 2, 24, 0x10, 20, 1, 2)))
        assert current(host) < 0.6 * settled

    def test_the_top_reference_moves_codes_one_for_one(self, host: Host) -> None:
        host.read_setup(0.2, gain=2)
        codes = []
        for volts in (4.0, 4.5):
            host.volts(HI_CMP, volts)
            codes.append(int.from_bytes(host.say("401,0,3,5,0"), "little") & 1023)
        assert codes[1] - codes[0] == pytest.approx(146, abs=1)

    def test_two_volts_are_seen_and_disturb(self, host: Host, board: SuperTBoard) -> None:
        before = board.benches[0].cells.conductance.copy()
        host.read_setup(0.2)
        host.say("402,0,1,500")
        assert np.array_equal(board.benches[0].cells.conductance, before)
        host.read_setup(2.0, reference=2.5)
        host.say("402,0,1,500")
        assert board.journal.peak("cells")[0] == pytest.approx(2.0, abs=1e-3)
        assert np.median(board.benches[0].cells.conductance) < 0.5 * np.median(before)

    def test_nothing_flows_where_the_rows_are_not_driven(self, host: Host) -> None:
        host.read_setup(0.2)
        assert host.read_single(3, 5)[0] > 0
        host.load([3], [5])
        host.high("DPE_INTERNAL_EN", "NFORCE_SAFE0", "CONNECT_TIA", "CONNECT_COLUMN_T")
        host.strobe("DPE_PULSE")
        assert all(word & 1023 == 0 for word in host.fifo(10))


class TestSession:
    def test_line_by_line_and_by_command_agree(self, host: Host) -> None:
        for row, col in ((3, 5), (40, 63), (63, 0), (17, 32)):
            host.read_setup(0.2)
            word = int.from_bytes(host.say(f"401,0,{row},{col},1"), "little")
            host.read_setup(0.2)
            assert host.read_single(row, col, auto=True) == (word & 1023, word >> 10)

    def test_the_converters_are_calibrated(self, host: Host) -> None:
        host.high("ADC_SEL_EXTERNAL", "DPE_EXT_OVERRIDE_EN")
        for volts in (0.6, 1.7, 2.9, 3.9):
            host.volts(TEST_IN, volts)
            host.low("DPE_EXT_SH")
            host.reset_engine()
            host.high("DPE_EXT_SH")
            assert host.done()
            host.low("DPE_EXT_SH")
            words = [host.fifo(number)[15] for number in range(12)]
            assert words == pytest.approx([(volts - 0.5) * 1023 / 3.5] * 12, abs=1)
            assert host.say("301,7") == b"".join(word.to_bytes(2, "little") for word in [*[0] * 15, words[7]])
            assert int.from_bytes(host.say("412,3"), "little") == words[3]

    def test_a_cell_is_programmed_by_its_host(self, host: Host, board: SuperTBoard) -> None:
        """SET up and RESET down until a cell is within 8 uS of 60 uS; no other cell moves."""
        before = board.benches[0].cells.conductance.copy()
        voltage, gate, seen = 1.0, 0.5, []
        for _ in range(40):
            host.read_setup(0.2)
            seen.append(amperes(*host.read_single(9, 14, auto=True)) / 0.2)
            if abs(seen[-1] - 60e-6) < 8e-6:
                break
            if seen[-1] < 60e-6:
                gate += 0.03
                host.pulse_by_lines(9, 14, True, 2.0, gate, 51)
            else:
                voltage += 0.05
                host.pulse_by_lines(9, 14, False, voltage, 5.0, 101)
        assert abs(board.benches[0].cells.conductance[9, 14] - 60e-6) < 9e-6
        changed = np.argwhere(board.benches[0].cells.conductance != before).tolist()
        assert changed == [[9, 14]]
        pulses = [entry for entry in board.journal.entries if entry.what in ("SET", "RESET")]
        assert {(entry.what, round(entry.width * 1e9)) for entry in pulses} <= {("SET", 1000), ("RESET", 2000)}
        assert len(pulses) == len(seen) - 1

    def test_single_pulses_by_command(self, host: Host, board: SuperTBoard) -> None:
        zero, set_, gate = 32511, int((2.0 - 0.078 + 10) / 20 * 65535), int((1.0 - 0.078 + 10) / 20 * 65535)
        before = board.benches[0].cells.conductance[7, 8] = 5e-6
        assert host.say(f"406,0,7,8,1,{set_},{gate},{zero},10") == b"0"
        entry = last(board, "SET")
        assert entry.width == pytest.approx(10e-6)
        assert (entry.voltage[7, 8], entry.gate[7, 8]) == pytest.approx((2.0, 1.0), abs=1e-3)
        assert board.benches[0].cells.conductance[7, 8] > 10 * before
        assert board.volts("VP_PAD") == pytest.approx(0.0, abs=1e-3)
        assert board.volts("TVDD") == pytest.approx(0.0, abs=1e-3)
        host.say(f"404,0,7,8,1,{set_},{gate}")
        assert board.volts("TVDD") == pytest.approx(1.0, abs=1e-3)  # the firmware leaves it

    def test_a_pulse_by_the_gate_line_lasts_as_long_as_it_is_open(self) -> None:
        clock = iter(np.arange(100) * 2e-3)
        board = SuperTBoard("supert-a0-easy", seed=5, clock=lambda: float(next(clock)))
        host = Host(board)
        host.power_on()
        host.load([2], [4])
        host.high("WRITE_SEL_EXT", "NFORCE_SAFE0", "WRITE_FWD", "ROW_WRITE_CONNECT")
        host.volts(6, 1.0)
        host.strobe("CONNECT_COLUMN_T")
        (entry,) = [entry for entry in board.journal.entries if entry.what == "SET"]
        assert entry.width == pytest.approx(2e-3)
        assert entry.voltage[2, 4] == pytest.approx(2.507, abs=1e-3)

    def test_wrong_lines_pulse_nothing(self, host: Host, board: SuperTBoard) -> None:
        before = board.benches[0].cells.conductance.copy()
        for without in ("WRT_INTERNAL_EN", "NFORCE_SAFE0", "ROW_WRITE_CONNECT", "CONNECT_COLUMN_T"):
            host.pads_default()
            host.load([2], [4])
            lines = {"WRT_INTERNAL_EN", "NFORCE_SAFE0", "WRITE_FWD", "ROW_WRITE_CONNECT", "CONNECT_COLUMN_T"}
            host.high(*(lines - {without}))
            host.strobe("WRT_PULSE")
        assert np.array_equal(board.benches[0].cells.conductance, before)


class TestCommands:
    def test_pins_show_what_is_set(self, host: Host) -> None:
        host.say("203,65535")
        assert int.from_bytes(host.say("202,H"), "little") & 0x9E00 == 0x9E00
        assert int.from_bytes(host.say("202,J"), "little") == 0xF0FD
        host.say("213,A,14")
        assert int.from_bytes(host.say("202,A"), "little") >> 14 & 1
        host.say("213,A,14")
        assert not int.from_bytes(host.say("202,A"), "little") >> 14 & 1
        host.say("201,F,4")
        assert int.from_bytes(host.say("202,F"), "little") == 4
        host.say("230,F,2")
        assert int.from_bytes(host.say("202,F"), "little") == 0
        host.say("231,F,2")
        assert int.from_bytes(host.say("202,F"), "little") == 4

    def test_lengths_of_replies(self, host: Host, board: SuperTBoard) -> None:
        host.read_setup(0.2)
        host.say("401,0,1,1,1")
        assert len(host.say("216")) == 20
        assert host.say("219,2,7", bytes(7)) == bytes((0x10, 2, 24, 0x10, 100, 1, 2))  # the old content comes out
        host.read_setup(0.2)
        first = host.say("401,0,1,1,1")
        assert host.say("411,0,1,1,1,0,0,0,1") == first
        assert len(host.say("502,0,1")) == 8192
        assert host.say("210,A,1,0") == host.say("221,0,0") == b""
        host.say("302,40000")
        assert board.dac.codes[9] == 40000
        host.say("304,3")
        assert board.dac.span == 3
        assert not board.hung

    def test_a_read_leaves_the_array_connected(self, host: Host, board: SuperTBoard) -> None:
        host.read_setup(0.2)
        host.say("401,0,1,1,1")
        left = ("READ_BIT", "AGC_INTERNAL_EN", "ARRAY_EN0", "NFORCE_SAFE0", "CONNECT_TIA", "CONNECT_COLUMN_T")
        assert all(board.pin(name) for name in left)
        assert not board.journal.grounded

    def test_a_look_at_the_converters_by_themselves_lets_go_of_the_columns(
        self, host: Host, board: SuperTBoard
    ) -> None:
        host.read_setup(0.2)
        host.say("401,0,1,1,1")
        assert board.pin("CONNECT_TIA")
        host.say("412,3")
        high = (
            "ADC_SEL_EXTERNAL",
            "DPE_EXT_OVERRIDE_EN",
            *(f"{name}{n}" for name in ("ARRAY_EN", "NFORCE_SAFE") for n in range(3)),
        )
        assert [name for name in high if not board.pin(name)] == []
        assert [name for name in ("CONNECT_TIA", "CONNECT_COLUMN_T", "DPE_EXT_SH") if board.pin(name)] == []

    def test_a_pulse_loads_the_column_register(self, host: Host) -> None:
        host.read_setup(0.2)
        host.load([], range(64))
        product = "403,0,1,3,0"
        full = np.frombuffer(host.say(product, b"\xff" * 8), "<u2")[:64]
        assert (full > 0).all()
        host.say("404,0,5,9,1,40000,36000")
        host.read_setup(0.2)
        after = np.frombuffer(host.say(product, b"\xff" * 8), "<u2")[:64]
        assert np.flatnonzero(after).tolist() == [9]

    def test_a_supply_that_goes_first_is_noted(self, host: Host, board: SuperTBoard) -> None:
        host.low("PWR_GOOD")
        assert "unpowered" in [entry.what for entry in board.journal.entries]
