"""`ScpiArray`: an array tester that speaks the SCPI array interface (docs/scpi.md), over any VISA resource."""

from __future__ import annotations

import itertools
import logging

import numpy as np
from pydantic import ValidationError

from drivers.links import Exchange, Link, Stream
from drivers.scpi import wire
from imssa_lab.contract.errors import (
    InstrumentError,
    InstrumentRestarted,
    LimitError,
    LinkCorrupt,
    LinkLost,
    LinkTimeout,
    WrongInstrument,
)
from imssa_lab.contract.hal import ArrayInfo, BoolArray, CrossbarArray, FloatArray, Programmer, Pulses, Readout
from imssa_lab.contract.safe_stop import SafeStop
from protocols.programmers.hysteretic import WriteVerify

_log = logging.getLogger(__name__)

ORDER: wire.Order = "<"
_ORDERED = b"FORM:BORD SWAP;:OUTP ON;:"
"""Before each request with numbers: what it depends on goes with it, whatever the instrument was set to before."""
_SLOWEST_WIRE = 20e3  # bytes/s that a deadline allows for
_DEFAULT_TIMEOUT = 5.0
_PIECE = 10.0  # s that a wait takes at most: an instrument that waits does not hear that it should stop


class ScpiWire:
    """Questions and answers over one link: every message goes as a call with session, number and checksum.

    The session is the instrument's own number of the time since it was switched on. One that has restarted behind a
    connection that a gateway keeps executes nothing that was meant for the time before, and says so.

    Args:
        stream: taken over.
        timeout: s for the instrument to answer what takes no time.

    Raises:
        LinkError: no answer, or another instrument (WrongInstrument).
    """

    def __init__(self, stream: Stream, timeout: float = _DEFAULT_TIMEOUT) -> None:
        self._numbers = itertools.count(1)
        self.identity = ""
        self._session = 0
        self.link = Link(stream, self._handshake, timeout)

    def ask(self, message: bytes, seconds: float = 0.0) -> bytes:
        """What the instrument answers to `message`, empty for commands.

        Args:
            seconds: how long it will take.

        Raises:
            LinkError: see `Link.exchange`; after LinkTimeout it is not known whether it was executed.
            InstrumentRestarted: nothing was executed, and nothing more goes over this link.
            InstrumentError: from the instrument's error queue; the further ones are logged.
        """
        number = next(self._numbers)
        timeout = self.link.timeout + seconds + len(message) / _SLOWEST_WIRE
        with self.link.exchange(timeout) as talk:
            content, waiting = self._call(talk, number, message)
            if waiting:
                self._raise_errors(talk, waiting)
        return content

    def _call(self, talk: Exchange, number: int, message: bytes) -> tuple[bytes, int]:
        talk.send(wire.call(self._session, number, message))
        while True:
            session, answered, waiting, check = (self._integer(talk) for _ in range(4))
            content = talk.block()
            if talk.exactly(1) != b"\n" or check != wire.checksum(session, answered, waiting, content):
                raise LinkCorrupt(f"{self.link.name}: an answer with a wrong checksum came; ask again")
            if session != self._session and answered in (number, wire.DAMAGED):
                raise InstrumentRestarted(
                    f"{self.link.name}: the instrument has restarted since it was opened, what was set is lost; this "
                    "request was not executed, of one that had no answer before it is not known; open it again"
                )
            if answered == number:
                return content, waiting
            if answered == wire.DAMAGED:
                raise LinkCorrupt(f"{self.link.name}: the request was damaged on its way and not executed; ask again")
            if answered > number:
                raise LinkCorrupt(f"{self.link.name}: answer {answered} to question {number}")
            _log.info("%s: answer %d came again or late, waiting for %d", self.link.name, answered, number)

    def _integer(self, talk: Exchange) -> int:
        field = talk.until(b",", 24)[:-1]
        if not field.isdigit():
            raise LinkCorrupt(f"{self.link.name}: a number was expected, got {field!r}")
        return int(field)

    def _raise_errors(self, talk: Exchange, count: int) -> None:
        errors = []
        for _ in range(count):
            content, _ = self._call(talk, next(self._numbers), b"SYST:ERR?")
            code, _, text = content.decode("utf-8", "replace").partition(",")
            errors.append(InstrumentError(int(code), text.strip('"')))
        for error in errors[1:]:
            _log.error("%s: %s", self.link.name, error)
        raise errors[0]

    def _handshake(self, talk: Exchange) -> None:
        mark = b"SYNC %d;" % next(self._numbers)
        talk.send(b"\nSYST:%s:SYST:SESS?;:SYST:ERR:ALL?;*IDN?\n" % mark.replace(b"SYNC ", b"SYNC? "))
        strange = b""
        try:
            while not (line := talk.line()).startswith(mark):
                strange = line
                if line.startswith(b"BUSY"):
                    raise LinkLost(f"{talk.name}: {line.decode('ascii', 'replace')}")
        except LinkTimeout as error:
            if strange and not self.identity:
                raise WrongInstrument(
                    f"{error}; it answers {strange[:60]!r}, but not as docs/scpi.md says: check the address"
                ) from error
            raise
        session, _, rest = line[len(mark) :].partition(b";")
        errors, _, identity = rest.decode("utf-8", "replace").rpartition(";")
        if not session.isdigit():
            raise LinkCorrupt(f"{talk.name}: a session was expected, got {session[:24]!r}")
        if self.identity and identity != self.identity:
            raise WrongInstrument(f"{identity!r} answers where {self.identity!r} did; open it again if this is right")
        if not errors.startswith("0,"):
            _log.warning("%s: errors from before: %s", identity, errors)
        if not self.identity:  # later the first call tells, whose answer has a checksum
            self._session = int(session)
        self.identity = identity


class ScpiArray(CrossbarArray):
    """The contract over the SCPI array interface. `wire` is taken over; outputs are off until the first request."""

    def __init__(self, connection: ScpiWire) -> None:
        self._wire = connection
        try:
            was_on = connection.ask(b"OUTP?") != b"0"
            if was_on:
                _log.warning("%s: its outputs were on; they go off first", connection.identity)
            connection.ask(b"OUTP OFF")
            self._description = _describe(connection)
        except BaseException:
            connection.link.close()
            raise
        info = self._description.info
        facts = {**info.provenance, "identity": connection.identity, "address": connection.link.name}
        durations = self._description.seconds.durations
        super().__init__(info.model_copy(update={"provenance": facts, "durations": durations}))

    @property
    def link(self) -> Link:
        """The link below."""
        return self._wire.link

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        shape = (len(voltages), self._info.cols)
        message = b"%sREAD:MVM? %d,%s" % (_ORDERED, len(voltages), wire.numbers(voltages, ORDER))
        seconds = len(voltages) * self._description.seconds.vector
        return self._readings(message, shape, seconds)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        shape = (averages, *self._info.shape)
        # the voltage goes with each request, as the byte order does
        lowered = self._info.read_voltage < self._description.info.read_voltage
        header = b"READ:COND:AT? %r," % self._info.read_voltage if lowered else b"READ:COND? "
        message = b"%s%s%d,%s" % (_ORDERED, header, averages, wire.flags(mask))
        seconds = averages * np.count_nonzero(mask) * self._description.seconds.cell
        return self._readings(message, shape, seconds)

    def _readings(self, message: bytes, shape: tuple[int, ...], seconds: float) -> Readout:
        seconds += 9 * np.prod(shape) / _SLOWEST_WIRE
        return wire.parse_readout(self._wire.ask(message, float(seconds)), shape, ORDER)

    def _apply_pulses(self, pulses: Pulses) -> None:
        voltage, gate = wire.numbers(pulses.voltage, ORDER), wire.numbers(pulses.gate, ORDER)
        message = b"%sPULS:%s %r,%s,%s" % (_ORDERED, pulses.kind.value.encode(), float(pulses.width), voltage, gate)
        each = self._description.seconds.pulse + (pulses.width if self._description.seconds.widths else 0.0)
        self._wire.ask(message, each * int(np.count_nonzero(pulses.mask)))

    def _lower(self, lowered: ArrayInfo) -> None:
        if lowered.read_voltage < self._info.read_voltage and not self._description.reads_at:
            raise LimitError(
                f"{self._info.name}: reads cells at {self._info.read_voltage:g} V and knows no READ:CONDuctance:AT? "
                "(docs/scpi.md), so its read limit cannot be lowered below that"
            )

    def _default_programmer(self) -> Programmer:
        return WriteVerify.model_validate(self._description.recipe)

    def _wait(self, seconds: float) -> None:
        left = seconds
        while True:  # also 0 s are asked for: the instrument says what it thinks of them
            piece = min(left, _PIECE)
            self._wire.ask(b"SYST:WAIT %r" % piece, piece)
            left -= piece
            if left <= 0:
                return
            SafeStop.give_way()

    def _time(self) -> float:
        return float(self._wire.ask(b"SYST:TIME?"))

    def _make_safe(self) -> None:
        if not self._wire.link.closed:
            self._wire.ask(b"OUTP OFF")

    def _close(self) -> None:
        self._wire.link.close()


def _describe(connection: ScpiWire) -> wire.Description:
    content = connection.ask(b"SYST:DESC?")
    try:
        description = wire.Description.model_validate_json(wire.parse_blocks(content)[0])
    except ValidationError as error:
        raise WrongInstrument(f"{connection.identity}: its description cannot be used: {error}") from error
    if description.protocol != wire.PROTOCOL_VERSION:
        raise WrongInstrument(
            f"{connection.identity}: speaks version {description.protocol} of the SCPI array interface, "
            f"this driver version {wire.PROTOCOL_VERSION}"
        )
    return description
