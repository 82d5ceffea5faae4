"""`Board`: the controller of a superT A0 on its serial link; `array.py` makes arrays of it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from drivers.links import Exchange, Link, Stream
from drivers.supert_a0 import electrode_sequences as sequences
from drivers.supert_a0 import wire
from drivers.supert_a0.pin_check import PinCheck
from drivers.wire_record import ReplayingStream
from imssa_lab.contract.errors import LinkCorrupt, LinkTimeout, WrongInstrument
from imssa_lab.contract.safe_stop import SafeStop

_log = logging.getLogger(__name__)

_SLACK = 2.0
_MARGIN = 1.5
_TRIES = 2
_BARRIER = wire.Barrier()
_KEPT = 100
_TRIAL = 10_000  # us


@dataclass(frozen=True)
class Setup:
    """What comes before an operation.

    Attributes:
        commands: that set the board up, and whose pins are read back.
        state: that they bring the board to; None: one that does not last.
        packets: codes of pulses, sent once the pins are right.
    """

    commands: Callable[[], Iterable[wire.Command]]
    state: object = None
    packets: Sequence[wire.Command] = ()


class Board:
    """The controller: commands in order, replies by length, power and clocks.

    Args:
        stream: a serial port; taken over.
        kept: operations that one setup serves: nothing shows a reference that a damaged command has moved, so none
            lasts.

    Raises:
        LinkError: no answer, or not from a superT A0 with the firmware of 8 December 2019 (WrongInstrument).
    """

    def __init__(self, stream: Stream, timeout: float = _SLACK, kept: int = _KEPT) -> None:
        self.link = Link(stream, shake_hands, timeout)
        self._users = 0
        self._took = 0.0
        self._timing_tried, self._replayed = False, isinstance(stream, ReplayingStream)  # a record has no time
        self._lock, self._busy_until = threading.RLock(), math.inf
        self._ready_for: object = None
        self._served, self._kept = 0, kept
        self._pins = PinCheck()
        self._powered = False
        self._resynchronised = self.link.resynchronised
        try:
            self._require_zero_rule()
        except BaseException:
            self.link.close()
            raise

    @property
    def name(self) -> str:
        """The port."""
        return self.link.name

    def send(
        self,
        setup: Setup,
        last: wire.Command,
        after: Iterable[wire.Command] = (),
        seconds: float = 0.0,
    ) -> bytes:
        """`setup`, then `last`, then `after`, each command one write; gives the reply of `last`.

        After any trouble the board is power-cycled first: what a damaged command did is unknown. All pins are
        read back after the setup, those of `after` after it, and a barrier ends it: what it answers shows that all
        are done, and that no byte came too many or too few.

        Args:
            seconds: how long `last` works.

        Raises:
            LinkError: a missing, short or wrong reply, or a pin that is not where it was set.
        """
        with self._ready(setup, seconds) as talk:
            started = time.monotonic()
            reply = self._one(talk, last)
            self._took = time.monotonic() - started
            self._finish(talk, after)
            self._barrier(talk)
        return reply

    def send_each(
        self, setup: Setup, commands: Iterable[wire.Command], seconds: float, after: Iterable[wire.Command] = ()
    ) -> list[bytes]:
        """As `send` for several commands under one deadline, with a barrier after each; `seconds` for all.

        A signal, or a stop by another thread, ends it between two commands.
        """
        replies = []
        with self._ready(setup, seconds) as talk:
            for command in commands:
                SafeStop.give_way()
                replies.append(self._one(talk, command))
                self._barrier(talk)
            if after:
                self._finish(talk, after)
                self._barrier(talk)
        return replies

    @contextmanager
    def _ready(self, setup: Setup, seconds: float) -> Iterator[Exchange]:
        """An exchange with the board powered and set up; it counts as neither until the end."""
        with self._talk(seconds) as talk:
            if not self._powered:
                self._ready_for = None
                self._pins.forget()  # a board that was off, or was sent something damaged, has them anywhere
                self._several(talk, sequences.power_up())
            self._powered = False
            if setup.state is None or setup.state != self._ready_for or self._served >= self._kept:
                self._several(talk, setup.commands())
                self._served = 0
            for packet in setup.packets:
                self._one(talk, packet)
            if setup.packets:
                self._barrier(talk)
            yield talk
            self._powered, self._ready_for = True, setup.state
            self._served += 1

    def _barrier(self, talk: Exchange) -> None:
        wire.check_barrier(self._one(talk, _BARRIER))
        talk.end()

    @contextmanager
    def _talk(self, seconds: float = 0.0) -> Iterator[Exchange]:
        timeout = self.link.timeout + _MARGIN * seconds
        self._wait_for_turn()
        try:
            self._busy_until = time.monotonic() + timeout
            with self.link.exchange(timeout) as talk:
                if self.link.resynchronised != self._resynchronised:
                    self._resynchronised, self._powered = self.link.resynchronised, False
                yield talk
        finally:
            self._lock.release()

    def _wait_for_turn(self) -> None:
        """One thread after another: each waits as long as the one before it may take."""
        while not self._lock.acquire(timeout=self.link.timeout):
            late = time.monotonic() - self._busy_until
            if late > self.link.timeout:
                raise LinkTimeout(
                    f"{self.name}: another thread's exchange is {late:.3g} s over its time; nothing was sent"
                )

    def _several(self, talk: Exchange, commands: Iterable[wire.Command]) -> None:
        """Commands, with a look at a port where they ask for it, and in the end at all pins."""
        some = False
        for command in commands:
            if isinstance(command, wire.ReadPort):
                self._look(talk, [command])
            else:
                self._one(talk, command)
            some = True
        if some:
            self._look(talk, self._pins.questions)

    def _finish(self, talk: Exchange, commands: Iterable[wire.Command]) -> None:
        """A few commands, and a look at the ports of their pins: one that went astray has not moved its own."""
        ports = set()
        for command in commands:
            self._one(talk, command)
            if isinstance(command, wire.ClearPin):
                ports.add(command.port)
        self._look(talk, [question for question in self._pins.questions if question.port in ports])

    def _look(self, talk: Exchange, questions: Iterable[wire.ReadPort]) -> None:
        for question in questions:
            self._pins.compare(question.port, self._one(talk, question))

    def _one(self, talk: Exchange, command: wire.Command) -> bytes:
        talk.send(command.encode())
        self._pins.note(command)
        reply = talk.exactly(command.reply) if command.reply else b""
        if command.reply == len(wire.ACKNOWLEDGE):
            wire.check_acknowledged(reply, command.number)
        return reply

    def make_safe(self) -> None:
        """Outputs to 0 V and arrays cut off; done when the board says so. Tried again where the wire fails."""
        self._straight(sequences.safe())

    def _straight(self, commands: list[wire.Command]) -> None:
        """Commands in whatever state the board is; afterwards it is configured again."""
        for tries_left in reversed(range(_TRIES)):
            self._ready_for = None
            try:
                with self._talk() as talk:
                    self._several(talk, commands)
                    self._barrier(talk)
                return
            except (LinkTimeout, LinkCorrupt):
                if not tries_left:
                    raise

    def join(self) -> None:
        """One more array uses the board."""
        self._users += 1

    def leave(self) -> None:
        """One array fewer; the last one switches the power off and lets go of the port."""
        self._users -= 1
        if self._users == 0 and not self.link.closed:
            try:
                self._straight(sequences.power_down())
                self._powered = False
            finally:
                self.link.close()

    def _require_zero_rule(self) -> None:
        """Older firmware drives -10 V into cells that are left alone; it does not know command 407 either."""
        nothing = np.zeros((wire.SIDE, wire.SIDE), dtype=np.uint16)
        empty = [
            wire.PulsesExternal(0, 1, sequences.ZERO_CODE, 1, row, data)
            for row, data in wire.packets(nothing, nothing)
        ]
        for tries_left in reversed(range(_TRIES)):  # one silence may be the wire's
            try:
                self.send(Setup(list, packets=empty[:-1]), empty[-1])
                return
            except LinkTimeout as error:
                if not tries_left:
                    raise WrongInstrument(
                        f"{self.name}: its firmware is older than 8 December 2019, which drives -10 V into cells "
                        "that are to be left alone; nothing was pulsed, program the board with that firmware first"
                    ) from error

    def try_timing(self, array: int) -> None:
        """Whether batches that the controller times keep their width, before the first of them.

        407 hands its width on by what the trace print left on the stack: a build without that print pulses for as
        long as chance has it. One cell of `array` gets a pulse of 0 V with its gate at 0 V, and that is timed.

        Raises:
            LinkTimeout: it was not acknowledged in time.
        """
        if self._timing_tried:
            return
        codes = np.zeros((wire.SIDE, wire.SIDE), dtype=np.uint16)
        codes[0, 0] = sequences.ZERO_CODE
        *first, last = (
            wire.PulsesExternal(array, 1, sequences.ZERO_CODE, _TRIAL, row, data)
            for row, data in wire.packets(codes, codes)
        )
        setup = Setup(lambda: sequences.before_pulsing(None), packets=first)
        try:
            self.send(setup, last, sequences.after_pulsing(), _TRIAL * 1e-6)
        except LinkTimeout as error:
            raise LinkTimeout(
                f"{error}. This was a trial of 0 V on one cell for {_TRIAL / 1000:g} ms, nothing was programmed. If "
                "it fails every time the firmware was built without its trace print and the width of pulses over "
                "5.06 us is undefined: open the board with pulses=single"
            ) from error
        if not self._replayed and self._took < _TRIAL * 1e-6:
            _log.warning(
                "%s: a trial pulse of %g ms ended early: the firmware seems built without its trace print, and the "
                "width of pulses over 5.06 us is undefined; open the board with pulses=single",
                self.name,
                _TRIAL / 1000,
            )
        self._timing_tried = True


def shake_hands(talk: Exchange) -> None:
    """The fixed pattern of the board, and nothing after it."""
    talk.send(wire.Handshake().encode())
    got = talk.exactly(len(wire.PATTERN))
    if got != wire.PATTERN:
        raise LinkCorrupt(f"{talk.name}: the handshake was answered {got[:12].hex(' ')}...; is this a superT A0?")
    time.sleep(0.01)  # a late answer to something before may still be coming


class Boards:
    """Boards that are open in this program, by port: three arrays share one port, which only one program can have."""

    def __init__(self) -> None:
        self._boards: dict[str, Board] = {}
        self._lock = threading.Lock()

    def get(self, port: str, connect: Callable[[], Board]) -> Board:
        """The open board at this port, or a new one."""
        with self._lock:
            board = self._boards.get(port)
            if board is None or board.link.closed:
                board = self._boards[port] = connect()
            return board
