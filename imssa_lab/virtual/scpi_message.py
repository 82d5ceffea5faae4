"""Program messages of SCPI: where they end, their parts, and the tree of headers with short and long forms."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_BLOCK = re.compile(rb"#([1-9])(\d+)")
_SUFFIX = re.compile(r"(?<=[A-Z])1(?=[:?]|$)")
_QUOTING = re.compile(rb"[\"'#(]")
_SPECIAL = re.compile(rb"[\n\"'#;,(]")


class ScpiError(Exception):
    """An error of a command, by its number in SCPI-1999; it goes to the error queue."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def block_end(data: bytes | bytearray, at: int) -> int | None:
    """Where the definite-length block that begins at `at` ends; `at` + 1 if none begins there, None if unfinished."""
    head = bytes(data[at : at + 11])
    if len(head) < 2:
        return None
    digits = head[1] - ord("0")
    if not 1 <= digits <= 9:
        return at + 1
    length = head[2 : 2 + digits]
    if len(length) < digits:
        return None if length.isdigit() or not length else at + 1
    if not length.isdigit():
        return at + 1
    return at + 2 + digits + int(length)


class Framer:
    """Cuts a stream into messages: each ends with a line feed that is not inside a block."""

    def __init__(self, limit: int = 1 << 28) -> None:
        self._data = bytearray()
        self._at = 0
        self._limit = limit

    @property
    def unfinished(self) -> bool:
        """Whether part of a message is waiting for the rest."""
        return bool(self._data)

    def clear(self) -> None:
        """Forget the part."""
        self._data.clear()
        self._at = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with these bytes, without their line feeds."""
        self._data += data
        while True:
            end = self._scan()
            if end is None:
                if len(self._data) > self._limit:
                    self.clear()
                return
            message = bytes(self._data[:end])
            del self._data[: end + 1]
            self._at = 0
            if message.strip():
                yield message

    def _scan(self) -> int | None:
        """Where the next line feed outside blocks is; remembers how far it has looked."""
        data = self._data
        while self._at < len(data):
            feed, mark = data.find(b"\n", self._at), data.find(b"#", self._at)
            if mark < 0 or 0 <= feed < mark:
                self._at = len(data) if feed < 0 else feed
                return None if feed < 0 else feed
            end = block_end(data, mark)
            if end is None or end > len(data):
                self._at = mark
                return None
            self._at = end
        return None


def split(data: bytes, separator: bytes) -> list[bytes]:
    """Parts of `data` between separators that are not inside blocks, quotes or parentheses."""
    if _QUOTING.search(data) is None:
        return data.split(separator)
    parts, start, at = [], 0, 0
    while at < len(data):
        found = _SPECIAL.search(data, at)
        if found is None:
            break
        sign, at = found.group(), found.start()
        if sign == separator:
            parts.append(data[start:at])
            start = at = at + 1
        elif sign == b"#":
            end = block_end(data, at)
            if end is None or end > len(data):
                raise ScpiError(-161, "Invalid block data")
            at = end
        elif sign in (b'"', b"'", b"("):
            close = data.find(b")" if sign == b"(" else sign, at + 1)
            if close < 0:
                raise ScpiError(-151, "Invalid string data")
            at = close + 1
        else:
            at += 1
    return [*parts, data[start:]]


def block_content(argument: bytes) -> bytes:
    """What is in an argument that must be a definite-length block."""
    found = _BLOCK.match(argument)
    if found is None:
        raise ScpiError(-104, "Data type error; a definite-length block is needed")
    start = 2 + int(found[1])
    end = block_end(argument, 0)
    if end is None or argument[end:].strip():
        raise ScpiError(-161, "Invalid block data")
    return argument[start:end]


def number(argument: bytes, low: float, high: float, default: float | None = None) -> float:
    """An argument that must be a number from `low` to `high`, or MIN, MAX, DEF."""
    text = argument.decode("ascii", "replace").strip()
    words = {"MIN": low, "MINIMUM": low, "MAX": high, "MAXIMUM": high}
    if default is not None:
        words |= {"DEF": default, "DEFAULT": default}
    if text.upper() in words:
        return words[text.upper()]
    try:
        value = float(text)
    except ValueError as error:
        raise ScpiError(-104, f"Data type error; {text[:20]!r} is no number") from error
    if not low <= value <= high:
        raise ScpiError(-222, f"Data out of range; {value:g}, allowed are {low:g} to {high:g}")
    return value


def boolean(argument: bytes) -> bool:
    """An argument that must be ON, OFF, 1 or 0."""
    text = argument.strip().upper()
    if text not in (b"ON", b"OFF", b"1", b"0"):
        raise ScpiError(-104, f"Data type error; ON or OFF is needed, got {text[:10]!r}")
    return text in (b"ON", b"1")


def cell(argument: bytes) -> tuple[int, int]:
    """Row and column, from 0, of a channel ``(@row!column)``, which counts from 1."""
    found = re.fullmatch(rb"\s*\(@\s*(\d+)\s*!\s*(\d+)\s*\)\s*", argument)
    if found is None:
        raise ScpiError(-170, f"Expression error; a cell is written (@1!1), got {argument[:20]!r}")
    return int(found[1]) - 1, int(found[2]) - 1


Handler = Callable[..., bytes | None]


def forms(pattern: str) -> Iterator[str]:
    """All ways of writing a header: long or short form at every level, levels in brackets present or not.

    >>> sorted(forms("SYSTem:ERRor[:NEXT]?"))[:3]
    ['SYST:ERR:NEXT?', 'SYST:ERR?', 'SYST:ERROR:NEXT?']
    """
    query = "?" if pattern.endswith("?") else ""
    levels = re.findall(r"(\[?):?([*A-Za-z]+\d*)\]?", pattern.removesuffix("?"))
    choices = []
    for bracket, word in levels:
        short = "".join(letter for letter in word if not letter.islower())
        choices.append(sorted({short, word.upper()}) + ([""] if bracket else []))
    for chosen in itertools.product(*choices):
        yield ":".join(word for word in chosen if word) + query


@dataclass
class CommandTree:
    """Headers and what answers them. A suffix of 1 is none (SCPI-1999, 6.2.5.2): SOURce1 is SOURce."""

    handlers: dict[str, tuple[Handler, int, int]] = field(default_factory=dict)
    _found: dict[tuple[str, bytes], tuple[str, tuple[Handler, int, int]]] = field(default_factory=dict, repr=False)

    def add(self, pattern: str, handler: Handler, arguments: int = 0, most: int | None = None) -> None:
        """`handler` takes so many arguments as bytes, up to `most`, and gives the answer of a query or None."""
        self._found.clear()
        for form in forms(pattern):
            self.handlers[_SUFFIX.sub("", form)] = (handler, arguments, arguments if most is None else most)

    def run(self, message: bytes) -> bytes:
        """Execute a message; the answers of its queries, parted by semicolons.

        Raises:
            ScpiError: of the first unit that fails; the units after it are not executed.
        """
        answers: list[bytes] = []
        path = ""
        for unit in split(message, b";"):
            header, _, rest = unit.lstrip().partition(b" ")
            if not header:
                continue
            path, (handler, wanted, most) = self._find(path, header)
            arguments = [part.lstrip() for part in split(rest, b",")] if rest.strip() else []
            if len(arguments) > most:
                raise ScpiError(-108, f"Parameter not allowed; {_named(header)} takes {most}")
            if len(arguments) < wanted:
                raise ScpiError(-109, f"Missing parameter; {_named(header)} takes {wanted}")
            answer: Any = handler(*arguments)
            if answer is not None:
                answers.append(answer)
        return b";".join(answers)

    def _find(self, path: str, header: bytes) -> tuple[str, tuple[Handler, int, int]]:
        """The path after this header, and what it calls."""
        known = self._found.get((path, header))
        if known is not None:
            return known
        name = header.strip().decode("ascii", "replace").upper()
        if "1" in name:
            name = _SUFFIX.sub("", name)
        common = name.startswith("*")
        full = name[1:] if name.startswith(":") else name if common else path + name
        if full not in self.handlers:
            raise ScpiError(-113, f"Undefined header; {name[:40]}")
        after = path if common else full[: full.rfind(":") + 1]
        self._found[path, header] = after, self.handlers[full]
        return after, self.handlers[full]


def _named(header: bytes) -> str:
    return header.strip().decode("ascii", "replace").upper()[:40]
