"""`Settings`: what an instrument remembers by name, with the commands that set it and the queries that tell it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imssa_lab.virtual.scpi_message import CommandTree, ScpiError, boolean, number


class Settings:
    """Numbers, switches and words. Changing one tells `changed` its name, after all checks have passed.

    Args:
        tree: gets the commands and queries.
    """

    def __init__(self, tree: CommandTree, changed: Callable[[str], None]) -> None:
        self._tree = tree
        self._changed = changed
        self._defaults: dict[str, Any] = {}
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set and tell; a value that `changed` refuses is taken back, with all that followed from it."""
        before = dict(self._values)
        self._values[name] = value
        try:
            self._changed(name)
        except ScpiError:
            self._values = before
            raise

    def put(self, name: str, value: Any) -> None:
        """Set without telling."""
        self._values[name] = value

    def reset(self) -> None:
        """All to their defaults, without telling."""
        self._values = dict(self._defaults)

    def _add(
        self, pattern: str, name: str, default: Any, parse: Callable[[bytes], Any], show: Callable[[Any], bytes]
    ) -> None:
        self._defaults.setdefault(name, default)
        self._values.setdefault(name, default)
        self._tree.add(pattern, lambda argument: self.__setitem__(name, parse(argument)), 1)
        self._tree.add(f"{pattern}?", lambda *which: show(self._asked(which, name, parse)), 0, 1)

    def _asked(self, which: tuple[bytes, ...], name: str, parse: Callable[[bytes], Any]) -> Any:
        """The value, or what MIN, MAX or DEF would set."""
        if not which:
            return self._values[name]
        if which[0].strip().upper()[:3] == b"DEF":
            return self._defaults[name]
        return parse(which[0])

    def number(self, pattern: str, name: str, low: float, high: float, default: float, whole: bool = False) -> None:
        """A number from `low` to `high`."""

        def parse(argument: bytes) -> float:
            value = number(argument, low, high, default)
            return round(value) if whole else value

        self._add(pattern, name, default, parse, lambda value: b"%d" % value if whole else b"%.6E" % value)

    def flag(self, pattern: str, name: str, default: bool) -> None:
        """ON or OFF."""
        self._add(pattern, name, default, boolean, lambda value: b"%d" % value)

    def word(self, pattern: str, name: str, words: tuple[str, ...], quoted: bool = False) -> None:
        """One of `words`, of which the capitals are the short form; the first is the default."""
        shorts = {"".join(letter for letter in word if not letter.islower()): word.upper() for word in words}

        def parse(argument: bytes) -> str:
            text = argument.decode("ascii", "replace").strip()
            text = text.strip("\"'") if quoted else text
            for short, long in shorts.items():
                if text.upper() in (short, long):
                    return short
            kind = -151 if quoted else -141
            raise ScpiError(kind, f"Invalid {'string' if quoted else 'character'} data; {text[:20]}")

        form = b'"%s"' if quoted else b"%s"
        self._add(pattern, name, next(iter(shorts)), parse, lambda value: form % str(value).encode())
