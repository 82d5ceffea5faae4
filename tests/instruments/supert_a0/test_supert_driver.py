"""The driver of the superT A0 on a virtual board."""

from typing import Any

import numpy as np
import pytest

from drivers.serial_stream import open_serial
from drivers.supert_a0 import open_supert, wire
from drivers.supert_a0.controller import Board
from drivers.supert_a0.convert import adc_code, dac_code, dac_voltage, pack
from drivers.supert_a0.reading import SHIFTS, Reading, two_step
from drivers.supert_a0.supert_array import SuperTArray
from drivers.taox_cells import RECIPE
from imssa_lab.contract.errors import ConfigError, LinkCorrupt
from imssa_lab.contract.hal import Pulses
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard, board_profile
from imssa_lab.virtual.wire_faults import Flip
from protocols.programmers.hysteretic import WriteVerify
from tests.instruments.supert_a0.supert_boards import EVERY
from trials.electrodes.supert_chaos import hidden_flip
from twin import DigitalTwin, TwinProfile

OFFSET = 0.078
STEP = 20 / 65535
DRIVEN = 655 * STEP
"""V across a cell in reads: the step of the converter below 0.2 V."""


def watch(firmware: SuperTBoard) -> list[int]:
    """Codes of the ADC's top reference, as they come."""
    seen: list[int] = []
    real = firmware.dac.write

    def noted(channel: int, code: int) -> None:
        real(channel, code)
        if channel == 3:
            seen.append(code)

    firmware.dac.write = noted  # type: ignore[method-assign]
    return seen


class TestDriver:
    def test_same_seed_same_bits_as_in_process(self, port: PtyPort) -> None:
        grid = dac_voltage(dac_code(np.linspace(1.0, 3.0, 4096).reshape(64, 64), OFFSET), OFFSET)
        gate = float(dac_voltage(dac_code(0.8, OFFSET), OFFSET))

        def script(array: Any, voltage: np.ndarray, gate: float, full: float = 0.2) -> list[np.ndarray]:
            rng = np.random.default_rng(1)
            mask = rng.random((64, 64)) < 0.5
            inputs = rng.uniform(0, 1, (11, 64)) * full
            seen = [array.read_conductances(averages=2), array.read_mvm(inputs) * (0.2 / full)]
            array.apply_pulses(Pulses.on(mask, "SET", voltage, gate, 10e-6))
            seen += [array.read_conductances(), array.read_mvm(inputs[0]) * (0.2 / full)]
            array.apply_pulses(Pulses.on(~mask, "RESET", voltage, 5.0, 1e-6))
            return [*seen, array.read_conductances()]

        asked = np.linspace(1.0, 3.0, 4096).reshape(64, 64)
        with SuperTArray(Board(open_serial(port.port))) as array:
            there = script(array, asked, 0.8)
        profile = board_profile("supert-a0-easy", "bit-serial")
        here = script(DigitalTwin(profile, (64, 64), 5), grid, gate, DRIVEN)
        other = script(DigitalTwin(profile, (64, 64), 6), grid, gate, DRIVEN)
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
            there = array.read_mvm(vectors)
        assert np.array_equal(there, here.read_mvm(vectors * (DRIVEN / 0.2)) * (0.2 / DRIVEN))

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
        assert not firmware.pin("PWR_GOOD")
        open_supert(port.port, {"block": "4x4"}).close()  # and again

    @pytest.mark.parametrize(
        "options", [{"baud": "1"}, {"adc": "three-step"}, {"array": "3"}, {"array": "x"}, {"block": "65x1"}]
    )
    def test_bad_options(self, options: dict[str, str]) -> None:
        with pytest.raises(ConfigError):
            open_supert("/dev/null", options)

    def test_power_down_leaves_nothing_driven(self, port: PtyPort, firmware: SuperTBoard) -> None:
        array = SuperTArray(Board(open_serial(port.port)))
        assert firmware.volts("VP_PAD") == pytest.approx(0.0, abs=STEP)  # not at 2.5 V until the first pulse
        array.read_conductances()
        array.close()
        assert set(firmware.dac.codes) == {32511}
        connects = [f"NFORCE_SAFE{i}" for i in range(3)] + ["CONNECT_COLUMN_T", "CONNECT_TIA", "ROW_WRITE_CONNECT"]
        assert not any(firmware.pin(name) for name in [*connects, "COL_WRITE_CONNECT", "PWR_GOOD"])
        assert firmware.journal.grounded


@pytest.mark.parametrize("gain", range(5))
def test_exactly_the_flips_that_the_documentation_lists_pass_a_reading(gain: int) -> None:
    data = pack(513, gain).astype("<u2").tobytes()
    for at, bit in ((at, bit) for at in range(2) for bit in range(8)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        word = np.frombuffer(bytes(flipped), "<u2")
        if hidden_flip(Flip(data, at, bit)):
            assert wire.unpack(word) != wire.unpack(np.frombuffer(data, "<u2"))  # taken for true, and wrong
        else:
            with pytest.raises(LinkCorrupt):
                wire.unpack(word)


def test_the_recipe_of_the_cells_is_that_of_the_board_as_measured() -> None:
    """What was found out on the twin about pulses and time is of use only if the driver does the same."""
    assert WriteVerify.model_validate(TwinProfile.load("supert-a0").recipe.model_dump()) == RECIPE
