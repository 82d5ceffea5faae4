"""The virtual superT A0 board by its fact sheet."""

import doctest

import numpy as np
import pytest

from drivers.supert_a0 import reading as reading_module
from drivers.supert_a0 import supert_array as array_module
from drivers.supert_a0 import wire
from drivers.supert_a0.convert import dac_code
from imssa_lab.virtual.supert_a0.dac_outputs import CHANNELS
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from tests.instruments.supert_a0.supert_boards import powered


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


class TestFirmware:
    """The conformance checks of the board's fact sheet."""

    def test_a_pattern_and_b_silence(self, firmware: SuperTBoard) -> None:
        assert firmware.receive(b"103\0") == [wire.PATTERN]
        assert firmware.receive(b"*IDN?\0") == []
        assert firmware.receive(b"103\0") == [wire.PATTERN]

    @pytest.mark.parametrize("array", [0, 1, 2])
    def test_c_a_single_read(self, firmware: SuperTBoard, array: int) -> None:
        (reply,) = powered(firmware).receive(wire.ReadCell(array, 3, 5).encode())
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
        assert firmware.firmware.codes[2:4].astype("<u2").tobytes() == codes

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
        firmware.receive(b"211,D,9\0")  # a DAC held clear takes nothing
        firmware.receive(b"214,4290655744\0")
        assert firmware.dac.codes[6] == 48895
        firmware.receive(b"214,1887711744\0")
        assert firmware.dac.codes[2] == 33904

    @pytest.mark.parametrize(
        ("span", "bottom", "top"), [(0, 0, 5), (1, 0, 10), (2, -5, 5), (3, -10, 10), (4, -2.5, 2.5)]
    )
    def test_spans_of_the_dac_are_those_of_its_data_sheet(
        self, firmware: SuperTBoard, span: int, bottom: float, top: float
    ) -> None:
        """LTC2668; the board's buffers add 78 mV to all outputs but the last two."""
        firmware.receive(b"304,%d\0" % span)
        firmware.receive(b"214,%d\0" % int.from_bytes((14 << 20 | 9).to_bytes(4, "big"), "little"))  # no such span
        for channel, name in enumerate(CHANNELS):
            buffer = 0.078 if channel < 14 else 0.0
            for code, volts in ((0, bottom), (65535, top)):
                word = 3 << 20 | channel << 16 | code
                firmware.receive(b"214,%d\0" % int.from_bytes(word.to_bytes(4, "big"), "little"))
                assert firmware.volts(name) == pytest.approx(volts + buffer)

    def test_j_two_halves_of_port_k(self, firmware: SuperTBoard) -> None:
        firmware.receive(b"204,5\0")
        assert firmware.receive(b"202,K\0") == [(5).to_bytes(4, "little")]
        firmware.receive(b"205,5\0")
        assert firmware.receive(b"202,K\0") == [(0x50).to_bytes(4, "little")]

    def test_what_is_an_input_is_not_driven_whatever_is_written(self, firmware: SuperTBoard) -> None:
        """The port's inputs by the firmware's table: the converters' words, ADC_DONE and what others drive."""
        driven = dict.fromkeys("CFJK", 0xFFFF)
        driven |= {"A": 0xFF00, "B": 0xFEA0, "D": 0xFFDB, "E": 0xFFCF, "G": 0x3FFD, "H": 0xFFF8}
        for port, levels in driven.items():
            firmware.receive(f"201,{port},65535\0".encode())
            assert firmware.receive(f"202,{port}\0".encode()) == [levels.to_bytes(4, "little")], port
            for pin in range(16):
                firmware.receive(f"231,{port},{pin}\0".encode())
            assert firmware.receive(f"202,{port}\0".encode()) == [levels.to_bytes(4, "little")], port

    def test_l_columns_stay_enabled_until_a_cell_is_read(self, firmware: SuperTBoard) -> None:
        product = wire.Products.of(0, [2**64 - 1])

        def enabled() -> int:
            (reply,) = firmware.receive(product.encode())
            return int(np.count_nonzero(product.words(reply)))

        powered(firmware)
        assert (enabled(), enabled()) == (64, 64)
        firmware.receive(wire.ReadCell(0, 0, 7).encode())
        assert enabled() == 1

    @pytest.mark.parametrize(
        "command",
        [
            b"401,3,0,0,1\0",
            b"401,0,64,0,1\0",
            b"401,0,0,64,1\0",
            b"401,0\0",
            b"211,Z,1\0",
            b"202,I\0",
            b"404,0,64,0,1,9,9\0",
        ]
        + [b"%d,A,%d\0" % (number, pin) for number in (211, 212, 213, 230, 231) for pin in (-1, 16)],
    )
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

    def test_a_port_passes_on_whole_commands_and_knows_of_a_part_until_it_is_dropped(
        self, firmware: SuperTBoard
    ) -> None:
        """A wire with faults damages them one by one."""
        commands = [b"103\0", wire.WriteChain.of(2, b"\0,\x01\0,0\0").encode(), b"207\0"]
        stream = b"".join(commands)
        assert firmware.transfers(stream) == commands
        given = []
        for at in range(len(stream)):
            given += firmware.transfers(stream[at : at + 1])
            assert firmware.unfinished == (b"".join(given) != stream[: at + 1])
        assert given == commands
        for take in (firmware.transfers, firmware.receive):
            assert take(b"20") == []
            assert firmware.unfinished
            firmware.forget()
            assert not firmware.unfinished
        assert firmware.receive(b"103\0") == [wire.PATTERN]


def test_a_board_keeps_its_cells_when_it_is_restarted(firmware: SuperTBoard) -> None:
    cells = powered(firmware).benches[0].cells.conductance.copy()
    firmware.receive(b"401,3,0,0,1\0")
    assert firmware.hung
    firmware.restart()
    assert firmware.receive(b"103\0") == [wire.PATTERN]
    assert np.array_equal(firmware.benches[0].cells.conductance, cells)
    assert not firmware.pin("PWR_GOOD")
