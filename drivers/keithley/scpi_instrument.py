"""`ScpiInstrument`: messages to an instrument that keeps the exchange of IEEE 488.2 to the letter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from drivers.links import Exchange, Link, Stream
from imssa_lab.contract.errors import InstrumentError, LinkCorrupt, LinkLost, LinkTimeout, WrongInstrument

_ERROR = re.compile(rb'\s*([+-]?\d+)\s*,\s*"(.*)"\s*')
_POWER_ON = 128
_QUEUE = 100
"""Entries after which an error queue that never empties is not asked again."""


class ScpiInstrument:
    """Plain SCPI over one link: every message is answered, as the error queue is asked after it.

    A message with a query is sent and its answer read before the next one goes out, which IEEE 488.2 demands
    (6.3.2.3; whoever does not gets error -410). So the queue is asked in a message of its own: joined by a semicolon
    it would not be reached where the message fails. That last message also asks for a number that opening has put
    into the event enable register: it is 0 again after the instrument was switched off and on, whatever kept the
    connection.

    Args:
        stream: taken over.
        timeout: s for what takes no time.

    Raises:
        LinkError: no answer, or another instrument's (WrongInstrument).
    """

    def __init__(self, stream: Stream, timeout: float) -> None:
        self._tokens = itertools.cycle(range(1, 256))
        self._token = b""
        self.identity = ""
        self.link = Link(stream, self._handshake, timeout)

    def tell(self, message: str, *checks: str) -> list[str]:
        """Send a message without queries, then ask `checks`.

        Returns:
            What the checks answer, in order.

        Raises:
            LinkError: see `Link.exchange`; LinkLost also where the instrument was restarted. InstrumentError: from
                its error queue.
        """
        return self._exchange(message, checks, False, 0.0)[1]

    def ask(self, message: str, seconds: float = 0.0) -> str:
        """What the instrument answers to `message`, which holds at least one query.

        Args:
            seconds: how long it will take.

        Raises:
            LinkError, InstrumentError: as `tell`.
        """
        return self._exchange(message, (), True, seconds)[0]

    def _exchange(self, message: str, checks: Sequence[str], answered: bool, seconds: float) -> tuple[str, list[str]]:
        answer = b""
        try:
            with self.link.exchange(self.link.timeout + seconds) as talk:
                talk.send(message.encode() + b"\n")
                if answered:
                    answer = talk.line()
                talk.send(";".join(("*ESE?", *checks, ":SYST:ERR?")).encode() + b"\n")
                mark, *found, error = _fields(talk, len(checks) + 2)
                self._require_token(talk.name, mark)
                self._raise_error(talk, error)
        except LinkTimeout as silence:
            # silence is what a query gets that failed; the link clears the device before it asks again
            with self.link.exchange() as talk:
                talk.send(b":SYST:ERR?\n")
                self._raise_error(talk, talk.line(), silence)
            raise
        return answer.decode("ascii", "replace"), [part.decode("ascii", "replace").strip() for part in found]

    def _require_token(self, name: str, mark: bytes) -> None:
        if mark.strip() == self._token:
            return
        if mark.strip() in (b"0", b"+0"):
            raise LinkLost(f"{name}: it was switched off and on, its settings are lost; open it again")
        raise LinkCorrupt(f"{name}: {mark[:40]!r} answers instead of {self._token!r}; ask again")

    def _raise_error(self, talk: Exchange, line: bytes, cause: LinkTimeout | None = None) -> None:
        """InstrumentError for an entry of the queue that is one; the rest of the queue is taken too."""
        first = error = _ERROR.fullmatch(line)
        for _ in range(_QUEUE):
            if error is None or first is None:
                raise LinkCorrupt(f"{talk.name}: {line[:40]!r} is no entry of an error queue; ask again")
            if not int(error[1]):
                break
            talk.send(b":SYST:ERR?\n")
            line = talk.line()
            error = _ERROR.fullmatch(line)
        if first is not None and int(first[1]):
            raise InstrumentError(int(first[1]), first[2].decode("ascii", "replace")) from cause

    def _handshake(self, talk: Exchange) -> None:
        """A number that only this answer holds: a late answer to something else does not.

        The error queue stays as it is: what made the handshake necessary may stand in it.
        """
        mark = b"%d" % next(self._tokens)
        talk.send(b"*ESR?;*ESE %s;*ESE?;*IDN?\n" % mark)
        while True:
            line = talk.line()
            if line.startswith(b"BUSY"):
                raise LinkLost(f"{talk.name}: {line.decode('ascii', 'replace')}")
            events, _, rest = line.partition(b";")
            back, _, said = rest.partition(b";")
            if back.strip() == mark and events.strip().isdigit():
                break
        identity = said.decode("ascii", "replace")
        if self.identity and identity != self.identity:
            raise WrongInstrument(f"{identity!r} answers where {self.identity!r} did; open it again if this is right")
        if self.identity and int(events) & _POWER_ON:
            raise LinkLost(f"{talk.name}: it was switched off and on, its settings are lost; open it again")
        self.identity, self._token = identity, mark


def _fields(talk: Exchange, count: int) -> list[bytes]:
    """The answers to so many queries of one message, of which only the last may hold a semicolon."""
    line = talk.line()
    fields = line.split(b";", count - 1)
    if len(fields) != count:
        raise LinkCorrupt(f"{talk.name}: {line[:60]!r} are not the {count} answers asked for; ask again")
    return fields
