"""Random products, reads and pulses on a superT A0 whose wire fails, judged by what its electrodes and FIFOs saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.reading import Reading
from drivers.supert_a0.supert_array import SuperTArray
from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.virtual.electrode_journal import Entry
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.supert_framing import Framing
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from imssa_lab.virtual.wire_faults import KINDS, Damage, Faults, Flip
from trials.link_chaos import Outcome, alike, random_operations

SERIAL_FAULTS = tuple(sorted(set(KINDS) - {"refused", "identity", "error"}))
"""Those that a serial port can have."""
SHAPE = (4, 3)
_SIDE = 64
_RESISTANCES = np.array([1e3, 5e3, 30e3, 200e3, 1e6])
_STEP = 20.0 / 65535
_HIDDEN = {201, 210, 213, 214, 215, 217, 218, 219, 220, 221, 230, 231, 302, 303, 304, *range(401, 408), 411, 412, 502}
"""Commands of which the driver does not see whether they did what they should; unknown numbers do nothing."""
_ANSWER = "an answer: code or gain of a reading"
_SWALLOWED = "commands taken for the rest of one that lost its end"
_LASTING = {_SWALLOWED, *(f"command {number}" for number in (214, 217, 218, 220, 303))}


class NotedBoard(SuperTBoard):
    """A board that keeps what it answered and what its electrodes saw, since it was last powered up.

    What an operation that failed left on the wire may still be done, until the next one powers the board up.
    """

    said: tuple[bytes, ...] = ()
    mark = 0

    def receive(self, data: bytes) -> list[bytes]:
        """As any."""
        answers = super().receive(data)
        self.said = (*self.said, *answers)
        return answers

    def forget_what_was(self) -> None:
        """An operation begins."""
        self.said, self.mark = (), len(self.journal.entries)

    def seen(self) -> list[Entry]:
        """What drove the electrodes."""
        return [entry for entry in self.journal.entries[self.mark :] if entry.what not in _QUIET]

    def _count_power_up(self) -> None:
        super()._count_power_up()
        self.forget_what_was()


@dataclass
class Excuses:
    """Which wrong answers nothing could show, by `docs/faults.md`: the name of what was damaged, else "".

    What changes a reference, a clock or a chain can spoil all answers up to the next power-up.
    """

    board: SuperTBoard
    faults: Faults
    harmed: Counter[str]
    restarts: int = 0
    _lasting: str = ""
    _power_ups: int = -1
    _seen: int = 0
    _flips: int = 0

    def __call__(self) -> str:
        """What may have spoiled the operation that has just ended."""
        if self.board.power_ups != self._power_ups:
            self._lasting = ""
        name = ""
        for damage in self.faults.damage[self._seen :]:
            hidden = hidden_damage(damage)
            self.harmed.update(hidden)
            if hidden:
                name = ", ".join(sorted(hidden))
            if hidden & _LASTING:
                self._lasting, self._power_ups = name, self.board.power_ups
        self._seen = len(self.faults.damage)
        for flip in self.faults.flips[self._flips :]:
            if hidden_flip(flip):
                self.harmed[_ANSWER] += 1
                name = _ANSWER
        self._flips = len(self.faults.flips)
        if self.board.hung:
            self.board.restart()
            self.restarts += 1
        return name or self._lasting


def hidden_flip(flip: Flip) -> bool:
    """Whether nothing can show this bit of an answer: that of a code, or a gain that becomes another one."""
    if len(flip.data) != 2 and len(flip.data) % 512:
        return False  # pattern, pins, acknowledgement
    at = flip.at & ~1
    return int.from_bytes(flip.now[at : at + 2], "little") >> 10 < len(_RESISTANCES)


def hidden_damage(damage: Damage) -> frozenset[str]:
    """The commands that were lost or came in another's place without anything that shows it; empty where it shows."""
    wanted, _ = _commands(damage.sent + damage.following)
    got, rest = _commands(damage.arrived + damage.following)
    changed = (wanted - got) + (got - wanted)
    names = {f"command {number}" for number, _, _ in changed if number in _HIDDEN}
    return frozenset(names | ({_SWALLOWED} if rest else set()))


def _commands(data: bytes) -> tuple[Counter[tuple[int, tuple[int, ...], bytes]], bool]:
    """Commands as the firmware takes them, and whether it waits for more."""
    framing = Framing()
    framing.add(data)
    found = Counter[tuple[int, tuple[int, ...], bytes]]()
    while (command := framing.next()) is not None:
        found[command.number, tuple(command.values), b",".join(command.texts) + command.payload] += 1
    return found, framing.unfinished


@dataclass(frozen=True)
class Way:
    """How an array is opened: inputs, reads of cells, pulses that the controller times."""

    inputs: str
    cells: str
    pulses: str


WAYS = (Way("bit-serial", "slow", "batch"), Way("unary", "rows", "single"))


def supert_chaos(
    operations: int, seed: int, kinds: tuple[str, ...] = SERIAL_FAULTS, rate: float = 0.002, deadline: float = 0.2
) -> tuple[Outcome, Faults, Excuses]:
    """Operations at random on a board of which a share `rate` of the commands meets a fault of these kinds."""
    board = NotedBoard("supert-a0-easy", seed)
    faults = Faults(kinds, rate, np.random.default_rng(seed), seconds=1.5 * deadline)
    excuses = Excuses(board, faults, Counter())
    rng = np.random.default_rng(seed + 1)
    with PtyPort(board, faults) as port:

        def connect() -> SuperTArray:
            way = WAYS[int(rng.integers(len(WAYS)))]
            reading = Reading.model_validate({"inputs": way.inputs, "cells": way.cells})
            pulses = "single" if way.pulses == "single" else "batch"
            return SuperTArray(
                Board(open_serial(port.port), deadline),
                0,
                SHAPE,
                sleep=lambda seconds: None,
                reading=reading,
                pulses=pulses,  # type: ignore[arg-type]
            )

        outcome = random_operations(
            on_supert(board),
            connect,
            lambda array: array.board.link.closed,  # type: ignore[attr-defined]
            deadline,
            operations,
            rng,
            excuses,
        )
    return outcome, faults, excuses


def on_supert(board: NotedBoard) -> Callable[[CrossbarArray, np.random.Generator], bool]:
    """One operation: whether the electrodes saw what was asked, once, and the answer is what the board converted."""

    def operation(array: CrossbarArray, rng: np.random.Generator) -> bool:
        assert isinstance(array, SuperTArray)
        board.forget_what_was()
        choice = int(rng.integers(4))
        if choice == 0:
            right = _products(array, board, rng)
        elif choice == 1:
            right = _reads(array, board, rng)
        else:
            right = _pulses(array, rng)
        return right(board.seen())

    return operation


_QUIET = ("on", "zero", "ground", "unpowered")
Judge = Callable[[list[Entry]], bool]


def _products(array: SuperTArray, board: NotedBoard, rng: np.random.Generator) -> Judge:
    full = array.info.limits.read_voltage
    asked = rng.uniform(0, full, (int(rng.integers(1, 5)), SHAPE[0]))
    if rng.integers(2):
        asked *= rng.choice([-1.0, 1.0], asked.shape)
    currents = array.read_mvm(asked)
    planes, weights = _planes(asked, array.info.input_coding, full)

    def right(seen: list[Entry]) -> bool:
        driven = np.concatenate([entry.voltage for entry in seen]) if seen else np.zeros((0, _SIDE))
        wanted = np.zeros((len(planes), _SIDE))
        wanted[:, : SHAPE[0]] = planes * _driven(full)
        if {entry.what for entry in seen} != {"mvm"} or not alike(driven, wanted):
            return False
        parts = _amperes(board.said, seen)
        return np.allclose(currents, weights @ parts[:, : SHAPE[1]] * full / _driven(full), rtol=1e-9)

    return right


def _planes(asked: FloatArray, coding: str, full: float) -> tuple[BoolArray, FloatArray]:
    """Rows driven, product by product, and what each of them counts for each vector, (vectors, products)."""
    levels, pulses = (255, 8) if coding == "bit-serial" else (7, 7)
    numbers = np.rint(np.abs(asked) / full * levels).astype(int)
    planes, shares = [], []
    for sign in (1, -1):
        some = np.arange(len(asked)) if sign > 0 else np.flatnonzero((asked < 0).any(axis=1))
        for vector in some:
            for pulse in range(pulses):
                part = np.where(np.sign(asked[vector]) == sign, numbers[vector], 0)
                planes.append(part >> pulse & 1 if coding == "bit-serial" else part > pulse)
                share = np.zeros(len(asked))
                share[vector] = sign * (2.0**pulse if coding == "bit-serial" else 1.0) / levels
                shares.append(share)
    return np.array(planes, dtype=bool), np.array(shares).T


def _reads(array: SuperTArray, board: NotedBoard, rng: np.random.Generator) -> Judge:
    mask = rng.random(SHAPE) < rng.choice([0.2, 0.6])
    mask[0, 0] = True
    conductances = array.read_conductances(mask)
    cells = np.argwhere(mask)
    volts = _driven(array.info.read_voltage)

    def right(seen: list[Entry]) -> bool:
        if {entry.what for entry in seen} == {"mvm"}:  # whole word lines
            rows = np.flatnonzero(mask.any(axis=1))
            wanted = np.zeros((len(rows), _SIDE))
            wanted[np.arange(len(rows)), rows] = volts
            if not alike(np.concatenate([entry.voltage for entry in seen]), wanted):
                return False
            measured = np.zeros(SHAPE)
            measured[rows] = _amperes(board.said, seen)[:, : SHAPE[1]]
        elif len(seen) == 1 and len(cells) > SHAPE[0]:  # the whole array
            if not alike(seen[0].voltage, np.full((_SIDE, _SIDE), volts)):
                return False
            measured = _amperes(board.said, [])[: SHAPE[0], : SHAPE[1]]
        else:
            wanted = np.full((len(cells), _SIDE, _SIDE), np.nan)
            wanted[np.arange(len(cells)), cells[:, 0], cells[:, 1]] = volts
            if len(seen) != len(cells) or not alike(np.array([entry.voltage for entry in seen]), wanted):
                return False
            measured = np.zeros(SHAPE)
            measured[mask] = _amperes(board.said, []).ravel()
        return np.allclose(conductances[mask] * volts, measured[mask], rtol=1e-9)

    return right


def _pulses(array: SuperTArray, rng: np.random.Generator) -> Judge:
    mask = rng.random(SHAPE) < 0.3
    mask[0, 0] = True
    kind, gates = ("SET", (0.3, 1.5)) if rng.integers(2) else ("RESET", (4.0, 5.0))
    width = float(rng.choice([100e-9, 1e-6, 10e-6, 100e-6]))
    pulses = Pulses.on(mask, kind, rng.uniform(0.5, 2.5, SHAPE), rng.uniform(*gates, SHAPE), width)
    array.apply_pulses(pulses)

    def right(seen: list[Entry]) -> bool:
        seen = [entry for entry in seen if np.nanmax(np.abs(entry.voltage)) > 2 * _STEP]  # less are trials
        if not seen or any(entry.what != kind or not np.isclose(entry.width, width) for entry in seen):
            return False
        given = np.count_nonzero([~np.isnan(entry.voltage) for entry in seen], axis=0)
        wanted = np.zeros((_SIDE, _SIDE), dtype=int)
        wanted[: SHAPE[0], : SHAPE[1]] = mask
        return np.array_equal(given, wanted) and all(
            np.allclose(_together([getattr(entry, name) for entry in seen])[mask], asked[mask], rtol=0, atol=_STEP)
            for name, asked in (("voltage", pulses.voltage), ("gate", pulses.gate))
        )

    return right


def _together(values: list[FloatArray]) -> FloatArray:
    """What cells saw that saw something once, (4, 3)."""
    return np.asarray(np.nansum(values, axis=0)[: SHAPE[0], : SHAPE[1]])


def _driven(volts: float) -> float:
    return int(volts / _STEP + 1e-6) * _STEP


def _amperes(said: tuple[bytes, ...], products: list[Entry]) -> FloatArray:
    """Currents in A, (n, 64) or (n, 1), of the readings among replies; of `products` without what fills blocks."""
    words: list[NDArray[np.uint16]] = []
    lengths = [len(entry.voltage) for entry in products]
    for reply in said:
        if len(reply) == 2:
            words.append(np.frombuffer(reply, "<u2").reshape(1, 1))
        elif len(reply) % 512 == 0:
            block = np.frombuffer(reply, "<u2").reshape(-1, _SIDE)
            words.append(block[: lengths[len(words)]] if lengths else block)
    every = np.concatenate(words)
    return np.asarray((every & 0x3FF) * (3.5 / 1023) / _RESISTANCES[every >> 10])
