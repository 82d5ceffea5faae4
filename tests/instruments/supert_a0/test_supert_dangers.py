"""What can go wrong with a superT A0 board, and what the driver makes of it."""

import os
import time
from typing import Any

import numpy as np
import pytest

from drivers.deadline import Deadline
from drivers.links import Stream
from drivers.serial_stream import open_serial
from drivers.supert_a0 import electrode_sequences as sequences
from drivers.supert_a0 import supert_array, wire
from drivers.supert_a0.controller import Board
from drivers.supert_a0.convert import dac_code
from drivers.supert_a0.supert_array import LIMITS, SuperTArray, pulse_length
from imssa_lab.contract.errors import LimitError, LinkCorrupt, LinkError, LinkTimeout, WrongInstrument
from imssa_lab.contract.hal import Pulses
from imssa_lab.contract.operating_system import open_pseudo_terminal
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from tests.instruments.supert_a0.supert_boards import EVERY, powered
from trials.electrodes.supert_chaos import SERIAL_FAULTS, supert_chaos


class Spy:
    """A stream that counts what is sent."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.name = stream.name
        self.sent: list[bytes] = []
        self.damage: tuple[bytes, ...] = ()
        self.once_after: bytes | None = None  # strikes once, after this was sent; None: each time

    def send(self, data: bytes, deadline: Deadline) -> None:
        self.sent.append(data)
        due = self.once_after is None or self.once_after in self.sent
        if self.damage and data == self.damage[0] and due:
            data = self.damage[1]
            self.damage = () if self.once_after else self.damage
        self._stream.send(data, deadline)

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        return self._stream.receive(limit, deadline)

    def pending(self) -> bool:
        return self._stream.pending()

    def clear(self, deadline) -> bool:
        return False

    def close(self) -> None:
        self._stream.close()


class TestDangers:
    @pytest.mark.parametrize(
        ("sent", "arrived"),
        [
            (b"212,A,15\0", b"211,A,15\0"),  # columns connected
            (b"211,D,13\0", b"211,D,5\0"),  # the engine stays in its reset
            (b"212,G,7\0", b"212,G,6\0" + b"211,G,7\0"),  # the ADC looks elsewhere
            (b"204,8\0", b"204,9\0"),
            (b"204,2\0", b"204,3\0"),  # the data of one bank in two
            (b"203,57344\0", b"203,57345\0"),  # a column too many, if it is latched
            (b"211,E,7\0", b"211,E,6\0"),  # the columns are never latched
            (b"212,E,7\0", b"212,E,3\0"),  # only the first bank is
            (b"211,F,12\0", b"211,F,2\0"),  # they are latched as rows
            (b"211,C,13\0", b"213,C,3\0"),  # the amplifiers stay as they were
            (b"212,D,13\0", b"212,D,12\0"),  # the engine is not reset
        ],
    )
    def test_a_damaged_pin_command_is_found_before_anything_is_read(
        self, port: PtyPort, firmware: SuperTBoard, sent: bytes, arrived: bytes
    ) -> None:
        spy = Spy(open_serial(port.port))
        with SuperTArray(Board(spy), 0, (8, 6)) as array:
            array.read_mvm(np.full(8, 0.1))
            array.read_conductances()
            entries = len(firmware.journal.entries)
            spy.damage = (sent, arrived)
            with pytest.raises(LinkCorrupt, match="was set"):
                array.read_mvm(np.full(8, 0.1))
            spy.damage = ()
            assert "mvm" not in [entry.what for entry in firmware.journal.entries[entries:]]
            assert np.isfinite(array.read_conductances()).all()  # everything is set again

    def test_a_latch_that_did_not_fall_once_is_found(self, port: PtyPort, firmware: SuperTBoard) -> None:
        """It does not rise for the next bank, which stays as it was; in the end all pins are where they belong."""
        spy = Spy(open_serial(port.port))
        with SuperTArray(Board(spy), 0, (8, 6)) as array:
            array.read_conductances()
            entries = len(firmware.journal.entries)
            spy.sent.clear()
            spy.damage, spy.once_after = (b"212,E,7\0", b"212,E,3\0"), b"211,E,7\0"
            with pytest.raises(LinkCorrupt, match="LATCH_CLK_DATA was set low"):
                array.read_mvm(np.full(8, 0.1))
            assert not spy.damage
            assert "mvm" not in [entry.what for entry in firmware.journal.entries[entries:]]

    def test_a_damaged_reference_does_not_last(self, port: PtyPort, firmware: SuperTBoard) -> None:
        """Nothing shows it, but the next setup sets it anew."""
        plane = next(
            command.encode()
            for command in sequences.before_reading(0.2)
            if isinstance(command, wire.Dac) and command.word >> 8 & 0xF == wire.CHANNELS["PLANE_VPP"]
        )
        spy = Spy(open_serial(port.port))
        with SuperTArray(Board(spy), 0, (2, 2)) as array:
            spy.damage = (plane, wire.Dac.write(0, 0x7000).encode())
            one = np.eye(2, dtype=bool)
            array.read_conductances(one)
            spy.damage = ()
            seen = []
            for _ in range(60):
                array.read_conductances(one)
                reads = [entry for entry in firmware.journal.tail(8) if entry.what == "cells"]
                seen.append(max(float(np.nanmax(entry.voltage)) for entry in reads))
        assert seen[0] > 1
        assert np.flatnonzero(np.array(seen) > 0.2)[-1] < 50
        assert seen[-1] == pytest.approx(0.2, abs=1e-3)

    def test_cells_left_alone_see_nothing(self, port: PtyPort, firmware: SuperTBoard) -> None:
        mask = np.zeros((8, 6), dtype=bool)
        mask[1, 2] = True
        with SuperTArray(Board(open_serial(port.port)), 0, (8, 6)) as array:
            array.apply_pulses(Pulses.on(EVERY[:8, :6], "SET", 2.0, 1.0, 10e-6))
            array.apply_pulses(Pulses.on(mask, "RESET", 1.5, 5.0, 1e-3))
        last = [entry for entry in firmware.journal.entries if entry.what == "RESET"]
        assert len(last) == 1
        assert np.argwhere(~np.isnan(last[0].voltage)).tolist() == [[1, 2]]  # not those of the batch before

    def test_old_firmware_is_refused_before_anything_is_pulsed(self) -> None:
        old = SuperTBoard("supert-a0-easy", zero_rule=False)
        with PtyPort(old) as port:
            with pytest.raises(WrongInstrument, match="8 December 2019"):
                Board(open_serial(port.port), timeout=0.5)
            assert old.journal.peak("SET") == old.journal.peak("RESET") == (0.0, 0.0)

    def test_the_danger_is_real(self) -> None:
        """The null control: old firmware drives -10 V into what is left alone."""
        old = powered(SuperTBoard("supert-a0-easy", zero_rule=False))
        nothing = np.zeros((64, 64), dtype=np.uint16)
        for row, data in wire.packets(nothing, nothing):
            old.receive(wire.PulsesInternal(0, 1, row, data).encode())
        assert old.journal.peak("SET") == pytest.approx((9.922, 9.922))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: wire.Products.of(0, [1] * 61),
            lambda: wire.Products.of(0, []),
            lambda: wire.Products.of(3, [1]),
            lambda: wire.ReadCell(0, 64, 0),
            lambda: wire.ReadCell(0, 0, -1),
            lambda: wire.ReadArray(0, pause=21_480_000),
            lambda: wire.PulsesExternal(0, 1, 32767, 21_480_000, 126, bytes(256)),
            lambda: wire.PulsesExternal(0, 1, 32767, 0, 126, bytes(256)),
            lambda: wire.PulsesInternal(0, 1, 63, bytes(256)),
            lambda: wire.PulsesInternal(0, 1, 128, bytes(256)),
            lambda: wire.PulsesInternal(0, 1, 0, bytes(255)),
            lambda: wire.WriteChain.of(0, bytes(600)).encode(),
            lambda: wire.Dac.write(16, 0),
            lambda: wire.Dac.write(0, 65536),
            lambda: dac_code(10.1),
        ],
    )
    def test_what_the_firmware_would_not_survive_is_never_made(self, make: Any) -> None:
        with pytest.raises(LimitError):
            make()

    def test_widths_are_given_exactly_or_refused(self) -> None:
        assert [pulse_length(20e-9 * n) for n in range(1, 254)] == [(True, n) for n in range(1, 254)]
        assert pulse_length(6e-6) == (False, 6)
        assert pulse_length(100e-3) == (False, 100_000)
        for width in (10e-9, 30e-9, 5.5e-6, 21.48, 22.0):
            with pytest.raises(LimitError, match="20 ns"):
                pulse_length(width)

    def test_nothing_over_a_limit_is_sent(self, port: PtyPort, firmware: SuperTBoard) -> None:
        spy = Spy(open_serial(port.port))
        rng = np.random.default_rng(3)
        with SuperTArray(Board(spy), 0, (8, 6)) as array:
            before = len(spy.sent)
            refused = 0
            for _ in range(1000):
                voltage, gate = rng.uniform(0.1, 12, 2)
                kind, width = rng.choice(["SET", "RESET", "FORM"]), 10 ** rng.uniform(-9, 3)
                limit = LIMITS.set if kind == "SET" else LIMITS.reset
                inside = limit.width_min <= width <= limit.width_max and voltage <= limit.voltage_max
                if kind != "FORM" and inside and gate <= limit.gate_max:
                    continue
                with pytest.raises(LimitError):
                    array.apply_pulses(Pulses.on(EVERY[:8, :6], kind, voltage, gate, width))
                refused += 1
            assert refused > 500
            assert len(spy.sent) == before

    def test_each_command_is_one_short_write(self, port: PtyPort) -> None:
        spy = Spy(open_serial(port.port))
        with SuperTArray(Board(spy)) as array:
            array.read_mvm(np.full((9, 64), 0.1))
            array.read_conductances()
            array.apply_pulses(Pulses.on(EVERY, "RESET", 1.0, 5.0, 1e-3))
        assert all(len(data) <= 511 and data.endswith(b"\0") for data in spy.sent)
        numbers = {int(data.split(b",")[0].rstrip(b"\0")) for data in spy.sent}
        assert numbers <= {103, 202, 203, 204, 205, 207, 211, 212, 214, 217, 218, 220, 303, 402, 403, 405, 407}

    def test_stale_bytes_of_a_killed_program(self, port: PtyPort) -> None:
        killed = os.open(port.port, os.O_RDWR | os.O_NOCTTY)
        os.write(killed, b"103\0" * 3)
        time.sleep(0.1)
        os.close(killed)
        with SuperTArray(Board(open_serial(port.port))) as array:
            assert np.isfinite(array.read_conductances()).all()

    def test_a_board_that_hangs(self, port: PtyPort, firmware: SuperTBoard) -> None:
        array = SuperTArray(Board(open_serial(port.port), timeout=0.2), 0, (2, 2))
        firmware.hung = True
        one = np.eye(2, dtype=bool)
        for _ in range(2):
            with pytest.raises(LinkTimeout):
                array.read_conductances(one)
        firmware.hung = False
        assert np.isfinite(array.read_conductances(one)[one]).all()
        array.close()

    def test_somebody_else_at_the_port(self) -> None:
        end, other, name = open_pseudo_terminal()
        with pytest.raises(LinkError):
            Board(open_serial(name), timeout=0.3)
        os.close(end)
        os.close(other)

    @pytest.mark.parametrize("word", [0x1400, 0x2000, 0x8000, 0xFFFF])
    def test_gain_codes_that_do_not_exist(self, word: int) -> None:
        with pytest.raises(LinkCorrupt, match="gain"):
            wire.unpack(np.array([0x1000, word]))


@pytest.mark.parametrize("kind", SERIAL_FAULTS)
def test_faults_give_typed_errors_and_no_wrong_answer_that_can_be_told(kind: str) -> None:
    outcome, faults, _ = supert_chaos(60, seed=4, kinds=(kind,), rate=0.004)
    assert faults.injected[kind] > 0
    assert (outcome.wrong, outcome.strange) == (0, 0)
    assert outcome.good > 10


_codes, _length = SuperTArray._codes, supert_array.pulse_length
PLANTED: dict[str, tuple[Any, str, Any]] = {
    "another column": (wire.ReadCell, "encode", lambda command: b"401,0,%d,1,1\0" % command.row),
    "rows in the other order": (wire.Products, "payload", property(lambda command: command.masks[::-1])),
    "pulses ten millivolts up": (SuperTArray, "_codes", lambda array, volts: _codes(array, volts + 0.01)),
    "twice the width": (supert_array, "pulse_length", lambda width: _length(2 * width)),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_judge_of_random_operations_finds_wrong_ones(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The null control: no fault on the wire, and one in the driver."""
    owner, name, new = PLANTED[bug]
    monkeypatch.setattr(owner, name, new)
    wrong = good = 0
    for seed in (2, 5):  # both ways of reading and pulsing
        outcome, _, _ = supert_chaos(30, seed, rate=0.0, deadline=5.0)
        wrong, good = wrong + outcome.wrong, good + outcome.good
    assert wrong > 1
    assert good == 58
