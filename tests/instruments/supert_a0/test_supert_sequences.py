"""What the superT A0's electrodes and clocks are left at, and when its link counts as in step: seen on the board."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from drivers.deadline import Deadline
from drivers.links import Exchange, Link
from drivers.supert_a0 import electrode_sequences as sequences
from drivers.supert_a0 import wire
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from imssa_lab.contract.errors import LinkCorrupt, LinkError, LinkTimeout
from imssa_lab.contract.hal import Pulses
from imssa_lab.virtual.supert_a0.controller_pins import PLACES
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from tests.instruments.supert_a0 import supert_host
from tests.instruments.supert_a0.supert_boards import powered

STEP = 20 / 65535
"""V, of the board's DAC."""
CUT_OFF = ["CONNECT_COLUMN_T", "CONNECT_TIA", "ROW_WRITE_CONNECT", "COL_WRITE_CONNECT"]
CUT_OFF += [f"NFORCE_SAFE{array}" for array in range(3)] + [f"ARRAY_EN{array}" for array in range(3)]


class Memory:
    """A stream to an instrument in this process; `alter` may change what is sent and what is answered."""

    name = "memory"

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self._answer, self._waiting = answer, bytearray()
        self.sent: list[bytes] = []
        self.altered: Callable[[bytes], bytes] = lambda data: data
        self.answered: Callable[[bytes], bytes] = lambda reply: reply

    def send(self, data: bytes, deadline: Deadline) -> None:
        self.sent.append(data)
        for reply in self._answer(self.altered(data)):
            self._waiting += self.answered(reply)

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        if not self._waiting:
            threading.Event().wait(deadline.left())
            raise LinkTimeout("memory: nothing came")
        taken = bytes(self._waiting[:limit])
        del self._waiting[:limit]
        return taken

    def pending(self) -> bool:
        return bool(self._waiting)

    def clear(self, deadline: Deadline) -> bool:
        self._waiting.clear()
        return True

    def close(self) -> None: ...


def run(firmware: SuperTBoard, commands: list[wire.Command]) -> None:
    for command in commands:
        firmware.receive(command.encode())


def disturbed(firmware: SuperTBoard) -> SuperTBoard:
    """A board that somebody left in the middle of something: all pins high, 3 V on all outputs."""
    powered(firmware)
    run(firmware, [sequences.reference(name, 3.0) for name in wire.CHANNELS])
    run(firmware, [sequences.high(name) for name in wire.PINS])
    return firmware


def order(commands: list[wire.Command], command: wire.Command) -> int:
    return max(at for at, one in enumerate(commands) if one == command)


def test_driver_board_and_host_have_the_pins_of_the_same_table() -> None:
    """Each was written down by itself from the firmware's table."""
    assert {name: place for name, place in PLACES.items() if name in wire.PINS} == wire.PINS
    assert {name: (place[0], int(place[1:])) for name, place in supert_host.PINS.items()}.items() <= PLACES.items()


def test_clocks_are_stopped_set_to_50_mhz_of_the_system_clock_and_started() -> None:
    sent = [command.encode() for command in sequences.set_clocks()]
    assert sorted(sent[:2]) == [b"218,0\0", b"218,2\0"]
    assert sorted(sent[2:4]) == [b"220,0,0,2\0", b"220,2,0,2\0"]
    assert sorted(sent[4:]) == [b"217,0\0", b"217,2\0"]


class TestSequences:
    def test_power_up_leaves_references_as_the_board_wants_them_and_nothing_driven(
        self, firmware: SuperTBoard
    ) -> None:
        """Voltages by the board's fact sheet; the clocks run at 50 MHz, 200 MHz by twice the divider."""
        run(disturbed(firmware), sequences.power_up())
        expected = {"VREF_ARRAY": 0.497, "VREF_TIA": 0.497, "VREF_SH": 2.505, "PLANE_VPP": 0.3, "VP_PAD": 0.0}
        expected |= {"TVDD": 1.0, "VAGC_0": 1.0, "VAGC_1": 3.9, "VREF_HI_CMP": 4.0, "AMP_VREF": 2.5, "AMP_INPUT": 2.5}
        for name, voltage in expected.items():
            assert firmware.volts(name) == pytest.approx(voltage, abs=STEP), name
        assert not any(firmware.pin(name) for name in CUT_OFF)
        assert all(firmware.pin(name) for name in ("PWR_GOOD", "NRESET_FULL_CHIP", "NRESET_DPE_ENGINE"))
        assert {clock: firmware.chip.dividers[clock] for clock in (0, 2)} == {0: [2, True], 2: [2, True]}
        assert sequences.CLOCK == pytest.approx(50e6)

    def test_power_comes_after_outputs_at_zero_and_goes_after_them(self) -> None:
        zeros = [wire.Dac.write(channel, sequences.ZERO_CODE) for channel in range(16)]
        up, down = sequences.power_up(), sequences.power_down()
        power_on, power_off = up.index(sequences.high("PWR_GOOD")), order(down, sequences.low("PWR_GOOD"))
        for zero in zeros:
            assert zero in up[:power_on]
            assert zero in down[:power_off]
        assert down[-1] == sequences.low("PWR_GOOD")
        assert up[:power_on].index(sequences.low("CONNECT_COLUMN_T")) > max(up.index(zero) for zero in zeros)
        engine = up.index(sequences.high("NRESET_DPE_ENGINE"))
        assert up.index(wire.WriteChain.of(2, wire.CONTROL_RESET)) < engine

    def test_power_down_and_safe_leave_nothing_driven_whatever_came_before(self, firmware: SuperTBoard) -> None:
        run(disturbed(firmware), sequences.safe())
        assert not any(firmware.pin(name) for name in CUT_OFF)
        assert (firmware.volts("VP_PAD"), firmware.volts("TVDD")) == pytest.approx((0.0, 0.0), abs=STEP)
        assert firmware.volts("PLANE_VPP") == pytest.approx(0.5, abs=STEP)  # where the amplifiers hold the columns
        run(disturbed(firmware), sequences.power_down())
        assert not any(firmware.pin(name) for name in [*CUT_OFF, "PWR_GOOD", "NRESET_FULL_CHIP", "NRESET_DPE_ENGINE"])
        assert max(abs(firmware.volts(name)) for name in wire.CHANNELS) < STEP + 0.08  # of the buffers
        assert not any(running for _, running in (firmware.chip.dividers[clock] for clock in (0, 2)))

    @pytest.mark.parametrize("shift", [0.0, 1.5, -1.5])
    def test_reads_put_their_voltage_on_the_rows_and_shift_the_top_of_the_adc(
        self, firmware: SuperTBoard, shift: float
    ) -> None:
        run(disturbed(firmware), sequences.before_reading(0.2, shift))
        assert not any(firmware.pin(name) for name in CUT_OFF)
        driven = firmware.volts("VREF_TIA") - firmware.volts("PLANE_VPP")
        assert 0.2 - 2 * STEP <= driven <= 0.2
        assert firmware.volts("VREF_HI_CMP") == pytest.approx(4.0 + shift, abs=STEP)
        assert firmware.volts("TVDD") == pytest.approx(5.0, abs=STEP)
        assert firmware.pin("NRESET_DPE_ENGINE")
        assert not firmware.pin("UPDATE_TIA_CONF")

    @pytest.mark.parametrize("pulse_end", [None, 2, 254])
    def test_before_and_after_pulses_the_pad_is_at_zero(self, firmware: SuperTBoard, pulse_end: int | None) -> None:
        run(disturbed(firmware), sequences.before_pulsing(pulse_end))
        assert firmware.volts("VP_PAD") == pytest.approx(0.0, abs=STEP)
        assert not any(firmware.pin(name) for name in CUT_OFF)
        chains = [one for one in sequences.before_pulsing(pulse_end) if isinstance(one, wire.WriteChain)]
        assert len(chains) == (pulse_end is not None)
        run(disturbed(firmware), sequences.after_pulsing())
        assert (firmware.volts("VP_PAD"), firmware.volts("TVDD")) == pytest.approx((0.0, 0.0), abs=STEP)
        assert not firmware.pin("COL_WRITE_CONNECT")

    @pytest.mark.parametrize("cols", [1, 2, 31, 33, 64])
    def test_as_many_columns_answer_as_were_enabled(self, firmware: SuperTBoard, cols: int) -> None:
        powered(firmware)
        run(firmware, sequences.enable_columns(0, cols))
        assert not firmware.pin("ARRAY_EN0")
        assert not firmware.pin("COL_ROW_SEL")
        product = wire.Products.of(0, [2**64 - 1])
        (reply,) = firmware.receive(product.encode())
        assert np.flatnonzero(product.words(reply).ravel()).size == cols


@pytest.fixture
def memory(firmware: SuperTBoard) -> Memory:
    return Memory(firmware.receive)


class TestController:
    def test_another_thread_may_talk_after_an_exchange_and_after_a_failed_one(
        self, firmware: SuperTBoard, memory: Memory
    ) -> None:
        board = Board(memory, timeout=0.2)
        board.make_safe()
        firmware.hung = True
        with pytest.raises(LinkTimeout):
            board.make_safe()
        firmware.hung = False
        ends: list[object] = []

        def other() -> None:
            try:
                ends.append(board.make_safe())
            except LinkError as error:
                ends.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert ends == [None]

    @pytest.mark.parametrize("name", ["CONNECT_COLUMN_T", "CONNECT_TIA", "NFORCE_SAFE0"])
    def test_a_line_that_a_read_leaves_connected_and_that_is_not_cut_off_is_found(
        self, firmware: SuperTBoard, memory: Memory, name: str
    ) -> None:
        lost = sequences.low(name).encode()
        with SuperTArray(Board(memory), 0, (2, 2)) as array:
            array.read_conductances()
            memory.altered = lambda data: b"" if data == lost else data
            with pytest.raises(LinkCorrupt, match=f"{name} was set low and is not"):
                array.read_conductances()
            memory.altered = lambda data: data
            assert np.isfinite(array.read_conductances()).all()

    def test_an_acknowledgement_that_is_none_is_an_error(self, memory: Memory) -> None:
        with SuperTArray(Board(memory), 0, (2, 2)) as array:
            memory.answered = lambda reply: b"7" if reply == wire.ACKNOWLEDGE else reply
            with pytest.raises(LinkCorrupt):
                array.apply_pulses(Pulses.on(np.eye(2, dtype=bool), "SET", 2.0, 1.0, 1e-6))
            memory.answered = lambda reply: reply
            array.apply_pulses(Pulses.on(np.eye(2, dtype=bool), "SET", 2.0, 1.0, 1e-6))

    @pytest.mark.parametrize(("silences", "safe"), [(1, True), (2, False)])
    def test_making_safe_is_tried_twice(
        self, firmware: SuperTBoard, memory: Memory, silences: int, safe: bool
    ) -> None:
        board = Board(memory, timeout=0.2)
        run(firmware, [sequences.reference("VP_PAD", 2.0)])
        left = [silences]
        barrier = wire.Barrier().encode()

        def silent(data: bytes) -> bytes:
            if data == barrier and left[0]:
                left[0] -= 1
                return b""
            return data

        memory.altered = silent
        if safe:
            board.make_safe()
        else:
            with pytest.raises(LinkTimeout):
                board.make_safe()
        assert left == [0]
        assert firmware.volts("VP_PAD") == pytest.approx(0.0, abs=STEP)


def test_a_link_that_is_in_step_again_shakes_hands_no_more() -> None:
    memory = Memory(lambda data: [data])

    def shake(talk: Exchange) -> None:
        talk.send(b"hello")
        if talk.exactly(5) != b"hello":
            raise LinkCorrupt("not the one")

    def ask() -> bytes:
        with link.exchange() as talk:
            talk.send(b"ask")
            return talk.exactly(3)

    link = Link(memory, shake, 0.2)
    assert (ask(), ask(), memory.sent.count(b"hello"), link.resynchronised) == (b"ask", b"ask", 1, 0)
    memory.altered = lambda data: b"as" if data == b"ask" else data
    with pytest.raises(LinkTimeout):
        ask()
    memory.altered = lambda data: data
    assert (ask(), ask(), memory.sent.count(b"hello"), link.resynchronised) == (b"ask", b"ask", 2, 1)
    memory.answered = lambda data: data + b"!" if data == b"ask" else data
    assert ask() == b"ask"  # and something more, which no later question may take
    memory.answered = lambda data: data
    assert (ask(), ask(), memory.sent.count(b"hello"), link.resynchronised) == (b"ask", b"ask", 3, 2)
