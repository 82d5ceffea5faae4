"""The superT A0 board without its wire: the firmware of 8 December 2019 around three arrays.

What cells and readings see follows from the DAC's codes, the latched chains, the pins and the registers. Where the
board's fact sheet says "undefined" or "for ever", this one stops answering until it is restarted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from imssa_lab.contract.errors import ConfigError
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Journal
from imssa_lab.virtual.supert_a0.amplifiers import RESISTANCES, SPAN
from imssa_lab.virtual.supert_a0.array_chip import ArrayChip
from imssa_lab.virtual.supert_a0.board_twin import BoardTwin
from imssa_lab.virtual.supert_a0.dac_outputs import STEP, Dac
from imssa_lab.virtual.supert_a0.firmware_commands import Firmware, Stuck
from imssa_lab.virtual.supert_a0.line_numbers import ARRAYS
from imssa_lab.virtual.supert_framing import Framing
from twin.periphery.inputs import Inputs
from twin.profile import TwinProfile


def board_profile(profile: TwinProfile | str, coding: Literal["analog", "bit-serial"] = "analog") -> TwinProfile:
    """The profile with the board's own converters: one-sided ADC of five ranges, word lines at 0 V or read voltage.

    Args:
        coding: "analog" is one product a vector, as the board does it; "bit-serial" what its driver makes of eight,
            at the step of the DAC below the read voltage.

    Raises:
        ConfigError: a profile without an ADC.
    """
    loaded = profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile)
    if loaded.adc is None:
        raise ConfigError(f"profile {loaded.name}: a superT A0 has an ADC; take a profile with one")
    scales = tuple(sorted(float(SPAN / resistance) for resistance in RESISTANCES))
    adc = loaded.adc.model_copy(update={"bits": 10, "full_scales": scales, "signed": False})
    bits = None if coding == "analog" else 8
    driven = int(loaded.read_voltage / STEP) * STEP
    inputs = Inputs(coding=coding, bits=bits, full_scale=driven, signed=False)
    return loaded.model_copy(update={"adc": adc, "inputs": inputs, "read_voltage": driven})


class SuperTBoard:
    """The board without its wire.

    Args:
        profile: of the arrays; see `board_profile`.
        seed: of array 0; the others have the next ones.
        paced: whether replies take the time that the board takes; those of one cell that the controller times do
            always.
        zero_rule: False for firmware before 6 December 2019, which drives code 0 (-10 V) into masked cells.
        leftover: us that command 407 takes for any width, in a build without the trace print; None for one with it.
        clock: s, for pulses that a host times by itself.
        states: files that keep the arrays between sessions, one each; written when the arrays are closed.

    Raises:
        ConfigError: a profile without an ADC.
    """

    kind = "superT A0"
    incomplete_after = 0.25
    watchdog = 0.0  # the board has none

    def __init__(
        self,
        profile: TwinProfile | str = "supert-a0",
        seed: int = 0,
        journal: Journal | None = None,
        paced: bool = False,
        zero_rule: bool = True,
        leftover: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        states: Sequence[Path | None] | None = None,
    ) -> None:
        single = board_profile(profile)
        self.journal = Journal() if journal is None else journal
        self._power_ups = 0
        kept = [None] * ARRAYS if states is None else states
        self.benches: list[BoardTwin] = []
        with ExitStack() as stack:  # all of them or none
            for index, state in enumerate(kept):
                self.benches.append(BoardTwin(single, seed + index, self.journal, state))
                stack.callback(self.benches[-1].close)
            stack.pop_all()
        self.paced = self._paced = paced
        self._zero_rule, self._leftover, self._clock = zero_rule, leftover, clock
        self.restart()

    def restart(self) -> None:
        """Power off and on: the controller forgets everything, the cells nothing."""
        self.make_safe()
        self.dac = Dac()
        self.chip = ArrayChip(self.dac, self.benches, self._clock, self._count_power_up)
        self.firmware = Firmware(self.chip, self._zero_rule, self._leftover)
        self._framing, self._transfers = Framing(), Framing()
        self.hung = False

    # ---- what a port needs

    @property
    def bench(self) -> BenchTwin:
        """The array whose clock paces; all three share the controller."""
        return max(self.benches, key=lambda bench: bench.time)

    def transfers(self, data: bytes) -> list[bytes]:
        """One command each, as USB brings them: a pseudo-terminal gives as many together as it likes."""
        return self._transfers.split(data)

    @property
    def unfinished(self) -> bool:
        """Whether part of a command waits for the rest."""
        return self._framing.unfinished or self._transfers.unfinished

    def forget(self) -> None:
        """A USB transfer that ended early is dropped."""
        self._framing.forget()
        self._transfers.forget()

    def make_safe(self) -> None:
        """Power off."""
        for bench in self.benches:
            bench.at_rest = True
            bench.ground()

    def fail(self) -> None:
        """The board has no way to report a fault of its own."""

    def receive(self, data: bytes) -> list[bytes]:
        """The replies to all commands that are complete with these bytes."""
        self.firmware.timed_one_cell = False
        if self.hung:
            return []
        self._framing.add(data)
        replies = []
        while not self.hung and (command := self._framing.next()) is not None:
            try:
                reply = self.firmware.run(command)
            except Stuck:
                self.hung = True
                break
            if reply:
                replies.append(reply)
        self.paced = self._paced or self.firmware.timed_one_cell
        return replies

    # ---- what a probe would show

    @property
    def power_ups(self) -> int:
        """How often the chip has got its supply."""
        return self._power_ups

    def _count_power_up(self) -> None:
        self._power_ups += 1

    def pin(self, name: str) -> bool:
        """Level of a control line."""
        return self.chip.pins.level(name)

    def volts(self, name: str) -> float:
        """V at an output of the DAC."""
        return self.dac.volts(name)
