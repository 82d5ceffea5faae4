"""Speed of the links beside a raw socket and a raw pseudo-terminal that hold the same conversation."""

from __future__ import annotations

import os
import socket
import time
import tty
from collections.abc import Callable
from typing import Any

import numpy as np
import pyvisa
from numpy.typing import NDArray

from benchmarks.bars import Bars
from benchmarks.wires.conversation import Conversation, Turn, responder
from drivers.links import Exchange, Link
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from drivers.visa_stream import open_visa
from drivers.wire_record import RecordingStream
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard

_IDN: Turn = ([b"*IDN?\n"], b"imssa_lab,responder,1,1.0\n")
_VALUES = np.random.default_rng(0).random((64, 64)).astype("<f4")
_BLOCK: Turn = ([b"BLOCK\n"], b"#516384" + _VALUES.tobytes() + b"\n")
Read = Callable[[], object]


def speed(bars: Bars) -> None:
    """Ratios of rates, each from rounds in turn."""
    each = bars.size(100, quick=20, smoke=2)
    rounds = bars.size(40, smoke=1)
    _visa(bars, each, rounds)
    _supert(bars, each, rounds)


def _visa(bars: Bars, each: int, rounds: int) -> None:
    with responder("tcp", [_IDN], [_IDN]) as linked, responder("tcp", [_IDN], [_IDN]) as plain:
        link, wire = _link(linked), _socket(plain)
        rates = _rates({"link": lambda: _line(link), "raw": lambda: _raw(wire, *_IDN)}, each, rounds)
        bars.check(
            "*IDN? through the VISA link, of a raw socket",
            rates["link"] / rates["raw"],
            ">=",
            0.35,
            f"{rates['link']:.0f} and {rates['raw']:.0f} a second",
        )
        link.close()
        wire.close()
    opening = [_IDN, _BLOCK]
    with (
        responder("tcp", opening, [_BLOCK]) as linked,
        responder("tcp", [], [_BLOCK]) as plain,
        responder("tcp", [], [_BLOCK]) as stock,
    ):
        link, wire = _link(linked), _socket(plain)
        manager: Any = pyvisa.ResourceManager("@py")
        instrument = manager.open_resource(_resource(stock), read_termination="\n", write_termination="\n")
        rates = _rates(
            {
                "link": lambda: _block(link),
                "raw": lambda: np.frombuffer(_raw(wire, *_BLOCK)[7:-1], "<f4").reshape(64, 64),
                "stock": lambda: instrument.query_binary_values("BLOCK", datatype="f", container=np.array),
            },
            max(each // 4, 5),
            rounds,
        )
        megabytes = {name: f"{rate * _VALUES.nbytes / 1e6:.0f} MB/s" for name, rate in rates.items()}
        bars.check(
            "64x64 float32 blocks through the VISA link, of a raw socket",
            rates["link"] / rates["raw"],
            ">=",
            0.25,
            f"{megabytes['link']} and {megabytes['raw']}",
        )
        bars.check(
            "64x64 float32 blocks through the VISA link, of the stock query_binary_values",
            rates["link"] / rates["stock"],
            ">=",
            2.0,
            megabytes["stock"],
        )
        link.close()
        wire.close()
        instrument.close()


def _supert(bars: Bars, each: int, rounds: int) -> None:
    inputs = np.random.default_rng(1).uniform(0, 0.2, (60, 64))
    reads: dict[str, Callable[[CrossbarArray], object]] = {
        "superT array read": lambda array: array.read_conductances(),
        "superT 60-vector MVM": lambda array: array.read_mvm(inputs),
    }
    for what, read in reads.items():
        opening, repeated = _recorded(read)
        with responder("pty", opening, repeated) as driven, responder("pty", [], repeated) as plain:
            # the responder knows reads of a board that is set up; setting it up again every 100 of them is left out
            array = SuperTArray(Board(open_serial(driven), kept=10**9), sleep=lambda seconds: None)
            read(array)
            file = os.open(plain, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(file)
            rates = _rates(
                {"driver": lambda: read(array), "raw": lambda: [_raw_file(file, *turn) for turn in repeated]},  # noqa: B023
                max(each // 10, 3),
                rounds,
            )
            size = sum(sum(map(len, asked)) + len(answered) for asked, answered in repeated)
            bars.check(
                f"{what}, of a raw pseudo-terminal",
                rates["driver"] / rates["raw"],
                ">=",
                0.5,
                f"{rates['driver'] * size / 1e6:.1f} and {rates['raw'] * size / 1e6:.1f} MB/s",
            )
            os.close(file)
            array.board.link.close()


def _recorded(read: Callable[[CrossbarArray], object]) -> tuple[list[Turn], list[Turn]]:
    """What a board says from its opening through the first `read`, and what it says for each further one."""
    notes = Conversation()
    with PtyPort(SuperTBoard("supert-a0-easy", 1)) as port:
        with SuperTArray(Board(RecordingStream(open_serial(port.port), notes))) as array:
            read(array)
            first = len(notes.turns)
            read(array)
            second = len(notes.turns)
    return notes.turns[:first], notes.turns[first:second]


def _rates(jobs: dict[str, Read], each: int, rounds: int) -> dict[str, float]:
    """How many a second in the best of the rounds, in which the jobs take turns: others use this computer too."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            for _ in range(each):
                job()
            seconds[name].append(time.perf_counter() - started)
    return {name: each / min(taken) for name, taken in seconds.items()}


def _resource(port: str) -> str:
    return f"TCPIP::127.0.0.1::{port}::SOCKET"


def _link(port: str) -> Link:
    def handshake(talk: Exchange) -> None:
        talk.send(_IDN[0][0])
        talk.line()

    return Link(open_visa(_resource(port), 2.0), handshake)


def _line(link: Link) -> bytes:
    with link.exchange() as talk:
        talk.send(_IDN[0][0])
        return talk.line()


def _block(link: Link) -> NDArray[np.float32]:
    with link.exchange() as talk:
        talk.send(_BLOCK[0][0])
        values = np.frombuffer(talk.block(), "<f4").reshape(64, 64)
        talk.line()
    return values


def _socket(port: str) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", int(port)))
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def _raw(wire: socket.socket, asked: list[bytes], answered: bytes) -> bytes:
    for data in asked:
        wire.sendall(data)
    answer = bytearray()
    while len(answer) < len(answered):
        answer += wire.recv(1 << 18)
    return bytes(answer)


def _raw_file(file: int, asked: list[bytes], answered: bytes) -> bytes:
    for data in asked:
        os.write(file, data)
    answer = bytearray()
    while len(answer) < len(answered):
        answer += os.read(file, 1 << 18)
    return bytes(answer)
