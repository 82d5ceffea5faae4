"""What the electrodes of a superT A0 see of its driver, as the virtual board works it out from the wire."""

import logging
import threading
import time

import numpy as np
import pytest

from drivers.deadline import Deadline
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.reading import Reading
from drivers.supert_a0.supert_array import SuperTArray
from imssa_lab.contract.errors import LimitError, LinkCorrupt, LinkTimeout
from imssa_lab.contract.hal import Pulses
from imssa_lab.virtual.electrode_journal import Entry
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from twin.profile import TwinProfile

STEP = 20 / 65535
AFTER_POWER_UP = {
    "PLANE_VPP": 0.3,
    "VREF_ARRAY": 0.497,
    "VREF_TIA": 0.497,
    "VREF_HI_CMP": 4.0,
    "VREF_SH": 2.505,
    "VP_PAD": 0.0,
    "TVDD": 1.0,
    "VAGC_0": 1.0,
    "VAGC_1": 3.9,
    "ADC_EXT_TEST_IN": 1.0,
    "AMP_VREF": 2.5,
    "AMP_INPUT": 2.5,
}
LEADS = ("CONNECT_COLUMN_T", "CONNECT_TIA", "ROW_WRITE_CONNECT", "COL_WRITE_CONNECT")


class Direct:
    """A wire without time to a board in this program; `slow` s pass before a reply is taken, once."""

    def __init__(self, board: SuperTBoard) -> None:
        self.name, self._board, self._coming = "direct", board, bytearray()
        self.sent: list[bytes] = []
        self.damaged: dict[bytes, bytes] = {}  # replies that arrive as others
        self.slow = 0.0

    def send(self, data: bytes, deadline: Deadline) -> None:
        self.sent.append(data)
        replies = self._board.receive(data)
        self._coming += b"".join(self.damaged.get(reply, reply) for reply in replies)

    def stray(self, data: bytes) -> None:
        self._coming += data

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        if not self._coming:
            time.sleep(min(deadline.left(), 0.06))
            raise LinkTimeout("nothing comes")
        time.sleep(self.slow)
        self.slow = 0.0
        taken = bytes(self._coming[:limit])
        del self._coming[:limit]
        return taken

    def pending(self) -> bool:
        return bool(self._coming)

    def clear(self, deadline: Deadline) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.fixture
def board() -> SuperTBoard:
    profile = TwinProfile.load("supert-a0-easy")
    noise = profile.read_noise.model_copy(update={"sd_median": 0.0})
    columns = profile.columns.model_copy(update={"gain": 1.0, "gain_spread": 0.0, "offset_spread": 0.0})
    made = SuperTBoard(profile.model_copy(update={"read_noise": noise, "columns": columns}), seed=5)
    for number, bench in enumerate(made.benches):
        bench.cells.conductance[:] = np.linspace(20e-6, 120e-6 - 20e-6 * number, 4096).reshape(64, 64)
    return made


@pytest.fixture
def wire(board: SuperTBoard) -> Direct:
    return Direct(board)


@pytest.fixture
def array(wire: Direct) -> SuperTArray:
    return SuperTArray(Board(wire), sleep=lambda seconds: None)


def entries(board: SuperTBoard, *kinds: str) -> list[Entry]:
    return [entry for entry in board.journal.entries if entry.what in kinds]


def cut_off(board: SuperTBoard) -> bool:
    names = (*LEADS, *(f"NFORCE_SAFE{number}" for number in range(3)))
    return board.journal.grounded and not any(map(board.pin, names))


class TestPower:
    def test_opening_brings_references_clocks_and_timings_up_and_connects_nothing(
        self, board: SuperTBoard, array: SuperTArray
    ) -> None:
        volts = {name: board.volts(name) for name in AFTER_POWER_UP}
        assert volts == pytest.approx(AFTER_POWER_UP, abs=STEP)
        assert board.dac.span == 3
        assert [board.chip.dividers[clock] for clock in (0, 2)] == [[2, 1], [2, 1]]
        assert board.chip.chains[2].hex() == "10020c10200102"
        assert board.chip.running
        assert entries(board, "on", "unpowered", "SET", "RESET", "cells", "mvm") == []
        assert cut_off(board)

    def test_a_board_left_in_any_state_is_never_powered_off_under_voltage(
        self, board: SuperTBoard, array: SuperTArray, wire: Direct
    ) -> None:
        for name in ("VP_PAD", "TVDD", "PLANE_VPP"):
            board.dac.write({"VP_PAD": 5, "TVDD": 6, "PLANE_VPP": 0}[name], 45000)
        other = SuperTArray(Board(wire), sleep=lambda seconds: None)
        other.close()
        assert entries(board, "unpowered") == []

    def test_the_supply_goes_last(self, board: SuperTBoard, array: SuperTArray) -> None:
        array.read_mvm(np.full(64, 0.1))
        array.close()
        assert entries(board, "unpowered") == []
        assert not any(map(board.pin, ("PWR_GOOD", "NRESET_FULL_CHIP", "NRESET_DPE_ENGINE")))
        assert [board.chip.dividers[clock][1] for clock in (0, 2)] == [0, 0]
        assert cut_off(board)

    def test_safe_is_zero_volts_then_cut_off(self, board: SuperTBoard, array: SuperTArray) -> None:
        array.read_conductances()
        for name in ("NFORCE_SAFE1", "CONNECT_COLUMN_T", "ROW_WRITE_CONNECT", "COL_WRITE_CONNECT"):
            board.chip.pins.drive(name, True)
        board.dac.write(5, 45000)
        before = len(board.journal.entries)
        array.make_safe()
        assert [entry.what for entry in board.journal.entries[before:]] == ["zero", "ground"]
        assert cut_off(board)
        assert [board.volts(name) for name in ("VP_PAD", "TVDD")] == pytest.approx([0.0, 0.0], abs=STEP)
        assert board.volts("PLANE_VPP") == pytest.approx(board.volts("VREF_TIA"), abs=2 * STEP)


class TestReads:
    @pytest.mark.parametrize("way", ["all", "some", "rows", "two-step"])
    def test_cells_see_the_read_voltage_and_give_their_conductance(
        self, board: SuperTBoard, wire: Direct, way: str
    ) -> None:
        reading = Reading(
            cells="rows" if way == "rows" else "slow", adc="two-step" if way == "two-step" else "single"
        )
        array = SuperTArray(Board(wire), sleep=lambda seconds: None, reading=reading)
        mask = np.ones((64, 64), dtype=bool) if way != "some" else np.eye(64, dtype=bool)
        seen = array.read_conductances(mask)
        assert seen[mask] == pytest.approx(board.benches[0].cells.conductance[mask], rel=0.03)
        for entry in entries(board, "cells", "mvm"):
            assert 0.1998 < np.nanmax(entry.voltage) <= 0.2
            assert np.nanmin(entry.voltage) >= 0.0
            assert entry.gate.tolist() == pytest.approx([5.0], abs=STEP)
        assert board.chip.chains[2].hex() == "10021810640102"
        assert board.chip.chains[:2] == [bytes.fromhex("C4310C4310") * 24] * 2
        assert board.volts("VREF_TIA") == pytest.approx(0.5, abs=STEP)
        assert cut_off(board)

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_products_in_amperes_of_the_array_asked(self, board: SuperTBoard, wire: Direct, number: int) -> None:
        array = SuperTArray(Board(wire), number, (16, 13), sleep=lambda seconds: None)
        vectors = np.random.default_rng(1).uniform(-0.2, 0.2, (5, 16))
        ideal = vectors @ board.benches[number].cells.conductance[:16, :13]
        assert array.read_mvm(vectors) == pytest.approx(ideal, abs=0.02 * np.abs(ideal).max())
        assert np.flatnonzero(board.chip.selected(number)[1]).tolist() == list(range(13))
        assert not any(board.chip.selected(other)[1].any() for other in range(3) if other != number)
        assert not any(entry.voltage[:, 16:].any() for entry in entries(board, "mvm"))
        assert cut_off(board)

    def test_commands_of_reads(self, wire: Direct, array: SuperTArray) -> None:
        array.read_conductances()
        array.read_mvm(np.full(64, 0.2))
        assert b"402,0,1,500\0" in wire.sent
        assert any(data.startswith(b"403,0,8,3,0,") for data in wire.sent)
        assert max(map(len, wire.sent)) <= 511

    def test_pulse_trains_are_weighted(self, board: SuperTBoard, array: SuperTArray) -> None:
        steps = np.zeros((8, 64))
        steps[np.arange(8), 3] = 0.2 / 255 * 2.0 ** np.arange(8)
        seen = array.read_mvm(steps)[:, 5]
        assert seen[5:] == pytest.approx(board.benches[0].cells.conductance[3, 5] * steps[5:, 3], rel=0.03)


class TestLoweredLimits:
    @pytest.mark.parametrize("limit", [0.15, 0.1, 0.03])
    @pytest.mark.parametrize("cells", ["slow", "rows"])
    def test_lower_reads_drive_less_and_give_the_same(
        self, board: SuperTBoard, wire: Direct, limit: float, cells: str
    ) -> None:
        board.benches[0].cells.conductance[:] = 110e-6
        reading = Reading.model_validate({"cells": cells})
        array = SuperTArray(Board(wire), 0, (8, 6), sleep=lambda seconds: None, reading=reading)
        ones = np.ones((8, 6), dtype=bool)
        array.read_conductances(ones)
        start = len(board.journal.entries)
        array.lower_limits(array.info.limits.model_copy(update={"read_voltage": limit}))
        conductances, some = array.read_conductances(ones), array.read_conductances(np.eye(8, 6, dtype=bool))
        products = array.read_mvm(np.array([np.full(8, limit), np.full(8, -limit / 2)]))
        assert conductances == pytest.approx(np.full((8, 6), 110e-6), rel=0.03)
        assert some[np.eye(8, 6, dtype=bool)] == pytest.approx(110e-6, rel=0.03)
        assert products == pytest.approx(
            np.outer([limit, -limit / 2], np.full(6, 8 * 110e-6)), rel=0.03 if limit > 0.05 else 0.06
        )
        peaks = [np.nanmax(np.abs(entry.voltage)) for entry in board.journal.entries[start:] if entry.voltage.size]
        assert limit - STEP <= max(peaks) <= limit
        with pytest.raises(LimitError):
            array.read_mvm(np.full(8, 1.01 * limit))

    def test_below_one_step_is_refused(self, array: SuperTArray) -> None:
        before = array.info
        with pytest.raises(LimitError, match=r"steps of 0\.305 mV"):
            array.lower_limits(before.limits.model_copy(update={"read_voltage": 1e-4}))
        assert array.info == before


class TestPulses:
    @pytest.mark.parametrize("kind", ["SET", "RESET"])
    @pytest.mark.parametrize(
        ("width", "how"), [(20e-9, "batch"), (1e-6, "batch"), (10e-6, "batch"), (10e-6, "single")]
    )
    def test_cells_see_what_was_asked_and_no_more(
        self, board: SuperTBoard, wire: Direct, kind: str, width: float, how: str
    ) -> None:
        array = SuperTArray(Board(wire), 1, sleep=lambda seconds: None, pulses=how)  # type: ignore[arg-type]
        mask = np.random.default_rng(2).random((64, 64)) < 0.01
        volts, gate = np.random.default_rng(3).uniform(1.0, 3.0, (64, 64)), 1.3
        before = board.benches[1].cells.conductance.copy()
        array.apply_pulses(Pulses.on(mask, kind, volts, gate, width))
        seen = [entry for entry in entries(board, "SET", "RESET") if np.nanmax(np.abs(entry.voltage)) > 1e-3]
        assert {entry.what for entry in seen} == {kind}
        assert [entry.width for entry in seen] == pytest.approx([width] * len(seen), rel=1e-9)
        voltage = np.fmax.reduce([entry.voltage for entry in seen]) if how == "single" else seen[0].voltage
        assert np.array_equal(~np.isnan(voltage), mask)
        assert (voltage[mask] <= volts[mask] + 1e-12).all()
        assert (voltage[mask] > volts[mask] - 1.01 * STEP).all()
        for entry in seen:
            assert np.nanmax(entry.gate) == pytest.approx(gate, abs=STEP)
            assert np.nanmax(entry.gate) <= gate
        assert len(seen) == (np.count_nonzero(mask) if how == "single" else 1)
        assert np.array_equal(board.benches[1].cells.conductance[~mask], before[~mask])
        assert all(np.array_equal(board.benches[n].cells.conductance[mask] > 0, mask[mask]) for n in (0, 2))
        assert [board.volts(name) for name in ("VP_PAD", "TVDD")] == pytest.approx([0.0, 0.0], abs=STEP)
        assert cut_off(board)

    def test_set_after_reset_goes_the_other_way(self, board: SuperTBoard, array: SuperTArray) -> None:
        one = np.zeros((64, 64), dtype=bool)
        one[4, 6] = True
        seen = []
        for kind, volts, gate in (("RESET", 2.0, 5.0), ("SET", 2.0, 0.9), ("RESET", 2.0, 5.0)):
            array.apply_pulses(Pulses.on(one, kind, volts, gate, 10e-6))
            seen.append(float(board.benches[0].cells.conductance[4, 6]))
        assert seen[0] < 20e-6
        assert seen[1] > 80e-6
        assert seen[2] < 20e-6

    def test_reading_after_a_pulse_is_set_up_again(self, board: SuperTBoard, array: SuperTArray) -> None:
        first = array.read_conductances()
        array.apply_pulses(Pulses.on(np.eye(64, dtype=bool), "SET", 0.3, 0.5, 1e-6))
        assert array.read_conductances() == pytest.approx(first)
        assert array.read_mvm(np.full(64, 0.1)).min() > 0


class TestTrouble:
    def test_bytes_that_nobody_asked_for_power_the_board_up_again(
        self, board: SuperTBoard, wire: Direct, array: SuperTArray
    ) -> None:
        array.read_conductances()
        before = board.power_ups
        array.read_conductances()
        assert board.power_ups == before  # null control
        wire.stray(b"?")
        assert np.isfinite(array.read_conductances()).all()
        assert board.power_ups == before + 1

    @pytest.mark.parametrize("width", [1e-6, 10e-6])
    def test_what_is_not_an_acknowledgement_is_refused(self, wire: Direct, array: SuperTArray, width: float) -> None:
        pulses = Pulses.on(np.eye(64, dtype=bool), "SET", 1.0, 0.6, width)
        array.apply_pulses(pulses)
        wire.damaged = {b"0": b"1"}
        with pytest.raises(LinkCorrupt, match="instead of"):
            array.apply_pulses(pulses)
        wire.damaged = {}
        array.apply_pulses(pulses)


class TestTrial:
    """Before the first batch that the controller times, one cell is tried at 0 V."""

    pulses = Pulses.on(np.eye(64, dtype=bool), "SET", 1.0, 0.6, 10e-6)

    def test_it_reaches_one_cell_with_nothing(self, board: SuperTBoard, array: SuperTArray) -> None:
        array.apply_pulses(self.pulses)
        trial, _ = entries(board, "SET")
        assert np.argwhere(~np.isnan(trial.voltage)).tolist() == [[0, 0]]
        assert max(abs(float(trial.voltage[0, 0])), abs(float(trial.gate[0, 0]))) < STEP
        assert trial.width == pytest.approx(10e-3)
        array.apply_pulses(self.pulses)
        assert len(entries(board, "SET")) == 3  # once

    def test_a_width_that_is_kept_is_no_news(self, board: SuperTBoard, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), PtyPort(board) as port:
            with SuperTArray(Board(open_serial(port.port))) as array:
                array.apply_pulses(self.pulses)
        assert caplog.text == ""

    def test_a_short_one_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        """By the clock: a busy computer that lets the answer lie for 10 ms takes a short trial for a whole one."""
        for _ in range(10):
            with caplog.at_level(logging.WARNING), PtyPort(SuperTBoard(leftover=1)) as port:
                with SuperTArray(Board(open_serial(port.port))) as array:
                    array.apply_pulses(self.pulses)
            if caplog.text:
                break
        assert "pulses=single" in caplog.text

    def test_a_long_one_is_an_error_before_anything_is_programmed(self) -> None:
        board = SuperTBoard(leftover=1_500_000)
        with PtyPort(board) as port:
            array = SuperTArray(Board(open_serial(port.port), timeout=0.3))
            with pytest.raises(LinkTimeout, match="pulses=single"):
                array.apply_pulses(self.pulses)
        assert board.journal.peak("SET")[0] < STEP


def test_threads_wait_for_each_other_as_long_as_an_exchange_may_take(board: SuperTBoard, wire: Direct) -> None:
    link = Board(wire, timeout=0.2)
    arrays = [SuperTArray(link, number, sleep=lambda seconds: None) for number in (0, 1)]
    arrays[0].read_conductances()
    wire.slow = 1.0  # of 4.6 s that a read of an array may take
    reader = threading.Thread(target=arrays[0].read_conductances)
    reader.start()
    time.sleep(0.1)
    started = time.monotonic()
    assert np.isfinite(arrays[1].read_conductances(np.eye(64, dtype=bool))[0, 0])
    assert time.monotonic() - started > 0.5  # null control: it had to wait
    reader.join()
