"""The superT A0 board behind a pseudo-terminal: its firmware by the sheet, its driver, and the dangers of both."""

import doctest
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.measure_wires.chaos import (
    on_supert,
    random_operations,
    undetectable_loss_on_supert,
    undetectable_on_supert,
)
from drivers.deadline import Deadline
from drivers.links import Stream
from drivers.serial_stream import open_serial
from drivers.supert_a0 import array as array_module
from drivers.supert_a0 import open_supert, sequences, wire
from drivers.supert_a0 import reading as reading_module
from drivers.supert_a0.array import LIMITS, SuperTArray, pulse_length
from drivers.supert_a0.board import Board
from drivers.supert_a0.convert import adc_code, dac_code, dac_voltage, pack
from drivers.supert_a0.reading import SHIFTS, Reading, two_step
from imssa_lab.errors import ConfigError, LimitError, LinkCorrupt, LinkError, LinkTimeout, WrongInstrument
from imssa_lab.hal import Pulses
from twin import DigitalTwin
from twin.instruments.faults import KINDS, Faults, Flip
from twin.instruments.server import PtyPort
from twin.instruments.supert_a0 import SuperTBoard, board_profile

EVERY = np.ones((64, 64), dtype=bool)


@pytest.fixture
def firmware() -> SuperTBoard:
    return SuperTBoard("supert-a0-easy", seed=5)


@pytest.fixture
def port(firmware: SuperTBoard) -> Iterator[PtyPort]:
    with PtyPort(firmware) as running:
        yield running


def powered(firmware: SuperTBoard) -> SuperTBoard:
    for command in [*sequences.power_up(), *sequences.before_reading(0.2), *sequences.enable_columns(0, 64)]:
        firmware.receive(command.encode())
    return firmware


def test_every_command_shows_its_bytes() -> None:
    for module in (wire, wire.arrays, wire.command, wire.lines, array_module, reading_module):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted
    assert all(
        ">>>" in (kind.__doc__ or "")
        for kind in vars(wire).values()
        if isinstance(kind, type) and issubclass(kind, wire.Command) and hasattr(kind, "number")
    )


def watch(firmware: SuperTBoard) -> list[int]:
    """Codes of the ADC's top reference, as they come."""
    seen: list[int] = []
    real = firmware._c214

    def noted(values: list[int], texts: list[bytes], payload: bytes) -> None:
        real(values, texts, payload)
        seen.append(int(firmware.dac[wire.CHANNELS["VREF_HI_CMP"]]))

    firmware._c214 = noted  # type: ignore[method-assign]
    return seen


class TestFirmware:
    """The conformance checks of the board's fact sheet."""

    def test_a_pattern_and_b_silence(self, firmware: SuperTBoard) -> None:
        assert firmware.receive(b"103\0") == [wire.PATTERN]
        assert firmware.receive(b"*IDN?\0") == []
        assert firmware.receive(b"103\0") == [wire.PATTERN]

    def test_c_a_single_read(self, firmware: SuperTBoard) -> None:
        (reply,) = powered(firmware).receive(wire.ReadCell(0, 3, 5).encode())
        code, gain = wire.unpack(np.frombuffer(reply, "<u2"))
        assert 0 <= code[0] <= 1023
        assert gain[0] == 4  # a fresh cell: below 3.5 uA

    @pytest.mark.parametrize("count", [1, 3, 4, 5, 60])
    def test_d_products(self, firmware: SuperTBoard, count: int) -> None:
        command = wire.Products.of(0, [1] * count)
        (reply,) = powered(firmware).receive(command.encode())
        assert len(reply) == 512 * -(-count // 4) == command.reply

    def test_d_too_many_products_are_never_answered(self, firmware: SuperTBoard) -> None:
        head = b"403,0,61,3,0,\x01,"
        assert powered(firmware).receive(head + bytes(8 * 61) + b"\0") == []
        assert firmware.receive(b"103\0") == [wire.PATTERN]

    def test_e_payloads_hold_any_byte(self, firmware: SuperTBoard) -> None:
        codes = bytes([0, 44, 1, 48] * 64)
        firmware.receive(wire.PulsesInternal(0, 1, 2, codes).encode())
        assert firmware._codes[2:4].astype("<u2").tobytes() == codes

    def test_f_g_h_batches(self, firmware: SuperTBoard) -> None:
        powered(firmware)
        voltage, gate = np.zeros((64, 64), dtype=np.uint16), np.zeros((64, 64), dtype=np.uint16)
        voltage[5, 7], gate[5, 7] = dac_code(2.0), dac_code(1.0)
        voltage[4, 5] = dac_code(2.0)  # no gate: left alone
        before = firmware.benches[0].cells.conductance.copy()
        batch = [wire.PulsesInternal(0, 1, row, data) for row, data in wire.packets(voltage, gate)]
        replies = [reply for command in batch for reply in firmware.receive(command.encode())]
        assert replies == [b"0"]
        changed = np.argwhere(firmware.benches[0].cells.conductance != before).tolist()
        assert changed == [[5, 7]]
        assert firmware.receive(batch[-1].encode()) == [b"0"]
        assert [entry.what for entry in firmware.journal.entries].count("SET") == 2

    def test_i_numbers_wrap(self, firmware: SuperTBoard) -> None:
        firmware.receive(b"214,4290655744\0")
        assert firmware.dac[6] == 48895
        firmware.receive(b"214,1887711744\0")
        assert firmware.dac[2] == 33904

    def test_j_two_halves_of_port_k(self, firmware: SuperTBoard) -> None:
        firmware.receive(b"204,5\0")
        assert firmware.receive(b"202,K\0") == [(5).to_bytes(4, "little")]
        firmware.receive(b"205,5\0")
        assert firmware.receive(b"202,K\0") == [(0x50).to_bytes(4, "little")]

    def test_l_columns_stay_enabled_until_a_cell_is_read(self, firmware: SuperTBoard) -> None:
        product = wire.Products.of(0, [2**64 - 1])

        def enabled() -> int:
            (reply,) = firmware.receive(product.encode())
            return int(np.count_nonzero(product.words(reply)))

        powered(firmware)
        assert (enabled(), enabled()) == (64, 64)
        firmware.receive(wire.ReadCell(0, 0, 7).encode())
        assert enabled() == 1

    @pytest.mark.parametrize("command", [b"401,3,0,0,1\0", b"401,0,64,0,1\0", b"401,0\0", b"211,Z,1\0"])
    def test_undefined_is_no_answer_until_restarted(self, firmware: SuperTBoard, command: bytes) -> None:
        assert powered(firmware).receive(command) == []
        assert firmware.receive(b"103\0") == []

    def test_a_read_without_clock_never_ends(self, firmware: SuperTBoard) -> None:
        powered(firmware).receive(wire.ClockOff(2).encode())
        assert firmware.receive(wire.ReadArray(0).encode()) == []
        assert firmware.hung

    def test_any_cut_of_the_stream(self, firmware: SuperTBoard) -> None:
        stream = b"\0\0" + b"103\0" + wire.WriteChain.of(2, b"\0,\x01\0,0\0").encode() + b"207\0"
        whole = [reply for at in range(len(stream)) for reply in firmware.receive(stream[at : at + 1])]
        assert whole == [wire.PATTERN, b"0", bytes(4)]


class TestDriver:
    def test_same_seed_same_bits_as_in_process(self, port: PtyPort) -> None:
        grid = dac_voltage(dac_code(np.linspace(1.0, 3.0, 4096).reshape(64, 64)))
        gate = float(dac_voltage(dac_code(0.8)))

        def script(array: Any, voltage: np.ndarray, gate: float) -> list[np.ndarray]:
            rng = np.random.default_rng(1)
            mask = rng.random((64, 64)) < 0.5
            inputs = rng.uniform(0, 0.2, (11, 64))
            seen = [array.read_conductances(averages=2), array.read_mvm(inputs)]
            array.apply_pulses(Pulses.on(mask, "SET", voltage, gate, 10e-6))
            seen += [array.read_conductances(), array.read_mvm(inputs[0])]
            array.apply_pulses(Pulses.on(~mask, "RESET", voltage, 5.0, 1e-6))
            return [*seen, array.read_conductances()]

        asked = np.linspace(1.0, 3.0, 4096).reshape(64, 64)
        with SuperTArray(Board(open_serial(port.port))) as array:
            there = script(array, asked, 0.8)
        profile = board_profile("supert-a0-easy", "bit-serial")
        here = script(DigitalTwin(profile, (64, 64), 5), grid, gate)
        other = script(DigitalTwin(profile, (64, 64), 6), grid, gate)
        same = [np.array_equal(a, b) for a, b in zip(there, here, strict=True)]
        assert same[:4] == [True] * 4
        assert np.median(np.abs(there[4] - here[4])) < 1e-6  # the gate of 5 V is coded, too
        assert not np.array_equal(there[0], other[0])

    @pytest.mark.parametrize("inputs", ["bit-serial", "unary"])
    def test_pulse_trains_give_the_same_bits_as_in_process(self, port: PtyPort, inputs: Any) -> None:
        profile = board_profile("supert-a0-easy", "bit-serial")
        bits = 8 if inputs == "bit-serial" else 3
        coded = profile.inputs.model_copy(update={"coding": inputs, "bits": bits})
        here = DigitalTwin(profile.model_copy(update={"inputs": coded}), (64, 64), 5)
        vectors = np.random.default_rng(1).uniform(0, 0.2, (13, 64))
        with SuperTArray(Board(open_serial(port.port)), reading=Reading(inputs=inputs)) as array:
            assert (array.info.input_coding, array.info.input_bits) == (inputs, bits)
            assert np.array_equal(array.read_mvm(vectors), here.read_mvm(vectors))

    def test_whole_rows_at_once(self, port: PtyPort, firmware: SuperTBoard) -> None:
        """A read of rows goes through the column amplifiers, as products do."""
        with open_supert(port.port, {"cells": "rows"}) as array:
            array.apply_pulses(Pulses.on(EVERY, "SET", 2.0, 1.0, 10e-6))
            mask = EVERY.copy()
            mask[5:] = False
            seen = array.read_conductances(mask, averages=8)
        bench = firmware.benches[0]
        expected = bench.cells.conductance * bench.columns.gain + bench.columns.offset / 0.2
        assert np.isnan(seen[5:]).all()
        assert np.median(np.abs(seen - expected)[:5]) < 2e-6
        assert np.median(np.abs(seen - bench.cells.conductance)[:5]) > 5e-6
        assert [entry.voltage.shape for entry in firmware.journal.entries if entry.what == "mvm"] == [(5, 64)] * 8

    def test_two_steps_of_the_adc(self, port: PtyPort, firmware: SuperTBoard) -> None:
        with open_supert(port.port, {"adc": "two-step"}) as array:
            array.apply_pulses(Pulses.on(EVERY, "SET", 2.0, 1.0, 10e-6))
            spied = watch(firmware)
            seen = array.read_conductances()
        true = firmware.benches[0].cells.conductance
        good = true < 150e-6
        assert np.median(np.abs(seen - true)[good]) < 2e-6
        moved = {round(float(dac_voltage(code, 0.078)), 1) for code in spied}
        assert moved - {0.0} == {4.0, 5.5, 5.0, 4.5, 3.5, 3.0, 2.5}

    def test_two_steps_take_each_value_from_its_reading(self) -> None:
        """A perfect ADC, moved: the second step changes nothing but the code it comes from."""
        volts = (0.5 * np.arange(1, 8)[:, None] + np.linspace(0.05, 0.45, 60)).ravel()  # away from where bins meet
        words = {shift: pack(adc_code(volts + shift), 2) for shift in SHIFTS}
        assert two_step(words) == pytest.approx((volts - 0.5) / 30e3, abs=0.6 * 3.5 / 1023 / 30e3)
        middle = (volts >= 2.0) & (volts < 2.5)
        spoiled = words | {0.0: np.where(middle, words[0.0], words[0.0] ^ 1)}
        assert np.array_equal(two_step(spoiled), two_step(words))  # the first reading counts in the middle alone

    def test_signed_inputs_in_two_passes(self, port: PtyPort) -> None:
        with SuperTArray(Board(open_serial(port.port)), 0, (8, 6)) as array:
            array.apply_pulses(Pulses.on(np.ones((8, 6), dtype=bool), "SET", 2.0, 0.9, 10e-6))
            forward = array.read_mvm(np.full(8, 0.15))
            assert array.read_mvm(np.full(8, -0.15)) == pytest.approx(-forward, rel=0.1)
            both = np.where(np.arange(8) < 4, 0.15, -0.15)
            assert np.abs(array.read_mvm(both)).max() < 0.5 * np.abs(forward).max()

    def test_three_arrays_on_one_port(self, port: PtyPort, firmware: SuperTBoard) -> None:
        arrays = [open_supert(port.port, {"array": str(i)}) for i in range(3)]
        assert len({array.board.link for array in arrays}) == 1
        arrays[1].apply_pulses(Pulses.on(EVERY, "SET", 2.0, 1.0, 10e-6))
        means = [array.read_conductances().mean() for array in arrays]
        assert means[1] > 10 * max(means[0], means[2])
        arrays[0].close()
        arrays[2].close()
        arrays[1].read_conductances()
        arrays[1].close()
        assert not firmware._pin("PWR_GOOD")
        open_supert(port.port, {"block": "4x4"}).close()  # and again

    @pytest.mark.parametrize(
        "options", [{"baud": "1"}, {"adc": "three-step"}, {"array": "3"}, {"array": "x"}, {"block": "65x1"}]
    )
    def test_bad_options(self, options: dict[str, str]) -> None:
        with pytest.raises(ConfigError):
            open_supert("/dev/null", options)

    def test_power_down_leaves_nothing_driven(self, port: PtyPort, firmware: SuperTBoard) -> None:
        array = SuperTArray(Board(open_serial(port.port)))
        assert firmware.dac[wire.CHANNELS["VP_PAD"]] == dac_code(0.0, 0.078)  # not at 2.5 V until the first pulse
        array.read_conductances()
        array.close()
        assert set(firmware.dac.tolist()) == {int(dac_code(0.0, 0.078))}
        connects = [f"NFORCE_SAFE{i}" for i in range(3)] + ["CONNECT_COLUMN_T", "CONNECT_TIA", "ROW_WRITE_CONNECT"]
        assert not any(firmware._pin(name) for name in [*connects, "COL_WRITE_CONNECT", "PWR_GOOD"])
        assert firmware.journal.grounded


class Spy:
    """A stream that counts what is sent."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.name = stream.name
        self.sent: list[bytes] = []
        self.damage: tuple[bytes, ...] = ()

    def send(self, data: bytes, deadline: Deadline) -> None:
        self.sent.append(data)
        if self.damage and data == self.damage[0]:
            data = self.damage[1]
        self._stream.send(data, deadline)

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        return self._stream.receive(limit, deadline)

    def pending(self) -> bool:
        return self._stream.pending()

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
            assert np.isfinite(array.read_conductances()).all()  # everything is set anew

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
        assert old.journal.peak("SET") == (10.0, 10.0)

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
        end, other = os.openpty()
        with pytest.raises(LinkError):
            Board(open_serial(os.ttyname(other)), timeout=0.3)
        os.close(end)
        os.close(other)

    @pytest.mark.parametrize("word", [0x1400, 0x2000, 0x8000, 0xFFFF])
    def test_gain_codes_that_do_not_exist(self, word: int) -> None:
        with pytest.raises(LinkCorrupt, match="gain"):
            wire.unpack(np.array([0x1000, word]))


SERIAL_FAULTS = sorted(set(KINDS) - {"refused", "identity", "error"})  # those that a serial port can have


@pytest.mark.parametrize("kind", SERIAL_FAULTS)
def test_faults_give_typed_errors_and_no_wrong_answer_that_can_be_told(kind: str) -> None:
    firmware = SuperTBoard("supert-a0-easy", seed=5)
    faults = Faults((kind,), 0.005, np.random.default_rng(4), seconds=0.3)
    seen = 0

    def excuse() -> bool:
        nonlocal seen
        new, seen = faults.flips[seen:], len(faults.flips)
        lost = any(undetectable_loss_on_supert(data) for data in faults.cut_short)
        faults.cut_short.clear()
        if firmware.hung:
            firmware.restart()
        return lost or any(undetectable_on_supert(flip) for flip in new)

    with PtyPort(firmware, faults) as port:
        outcome = random_operations(
            on_supert(firmware.benches[0]),
            lambda: SuperTArray(Board(open_serial(port.port), timeout=0.2), 0, (4, 3)),
            lambda array: array.board.link.closed,  # type: ignore[attr-defined]
            0.2,
            60,
            np.random.default_rng(4),
            excuse,
        )
    assert faults.injected[kind] > 0
    assert (outcome.wrong, outcome.strange) == (0, 0)
    assert outcome.good > 10


@pytest.mark.parametrize("gain", range(5))
def test_exactly_the_flips_that_the_documentation_lists_pass_a_reading(gain: int) -> None:
    data = pack(513, gain).astype("<u2").tobytes()
    for at, bit in ((at, bit) for at in range(2) for bit in range(8)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        word = np.frombuffer(bytes(flipped), "<u2")
        if undetectable_on_supert(Flip(False, data, at, bit)):
            assert wire.unpack(word) != wire.unpack(np.frombuffer(data, "<u2"))  # taken for true, and wrong
        else:
            with pytest.raises(LinkCorrupt):
                wire.unpack(word)


def test_a_board_keeps_its_cells_when_it_is_restarted(firmware: SuperTBoard) -> None:
    cells = powered(firmware).benches[0].cells.conductance.copy()
    firmware.receive(b"401,3,0,0,1\0")
    assert firmware.hung
    firmware.restart()
    assert firmware.receive(b"103\0") == [wire.PATTERN]
    assert np.array_equal(firmware.benches[0].cells.conductance, cells)
    assert not firmware._pin("PWR_GOOD")
