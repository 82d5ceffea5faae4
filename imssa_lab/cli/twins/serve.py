"""`imssa serve`: instruments without hardware, twins behind real wires."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.number_options import finite
from imssa_lab.cli.shared.session import console
from imssa_lab.cli.shared.virtual_instruments import ARRAYS_PER_BOARD, KINDS
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.operating_system import PSEUDO_TERMINALS

if TYPE_CHECKING:
    from imssa_lab.virtual.bench_twin import BenchTwin
    from imssa_lab.virtual.electrode_journal import Journal
    from imssa_lab.virtual.server import Instrument, TcpPort
    from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
    from imssa_lab.virtual.wire_faults import Faults

_TRIES = 20
_LAST_PORT = 65535
_LOOK = 0.5  # s
_KEPT = 1000  # entries of the journal in memory, which a night would fill otherwise


def serve(
    kind: Annotated[
        str, typer.Argument(help=f"Kind of instrument: {', '.join(KINDS)}.", autocompletion=completion.instruments)
    ],
    profile: Annotated[
        str, typer.Option(help="Preset or TOML file of the twin inside.", autocompletion=completion.profiles)
    ] = "supert-a0",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="TCP port; by default, or with 0, any free one. By default a superT A0 is on a serial port.",
        ),
    ] = None,
    link: Annotated[
        Path | None, typer.Option(help="New link: a fixed name for the serial port that the system chooses.")
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, max=64, help="Number of instruments, on consecutive ports, or LINK0, LINK1 ..."),
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first chip; further arrays have the following seeds.")
    ] = 0,
    shape: Annotated[
        str | None,
        typer.Option(
            help="Word lines x bit lines; default 64x64, for smu-matrix 16x16 (5x5 on a 7001); fixed for boards."
        ),
    ] = None,
    meter: Annotated[
        str, typer.Option(help="For smu-matrix, model of both source-measure units: 2400 or 2450.")
    ] = "2400",
    matrix: Annotated[str, typer.Option(help="For smu-matrix, model of the matrix: 7001, 707a or 707b.")] = "707a",
    paced: Annotated[bool, typer.Option("--paced", help="Operations take their device time.")] = False,
    watchdog: Annotated[
        float,
        typer.Option(
            min=0,
            callback=finite,
            help="Time without a message after which outputs are grounded, s; only scpi has one.",
        ),
    ] = 2.0,
    journal: Annotated[Path | None, typer.Option(help="New text file for the voltages at the electrodes.")] = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="Faults to inject: KINDS, KINDS@RATE or KINDS@RATE/SECONDS, separated by commas, or all@RATE."
        ),
    ] = None,
    fault_seed: Annotated[int, typer.Option(min=0, help="Seed of the faults.")] = 0,
    state: Annotated[
        str | None,
        typer.Option(help="File that keeps the chip from one session to the next; with {index} for several chips."),
    ] = None,
) -> None:
    """Serve a virtual instrument until Ctrl-C or SIGTERM; the first line on stdout is the address of its arrays.

    Example: imssa serve scpi --port 5025
    """
    # products of one array are small: threads of the linear algebra would wait for each other, ten times longer
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from imssa_lab.station.addresses import addresses
    from imssa_lab.virtual.wire_faults import parse_faults

    if kind not in KINDS:
        raise ConfigError(f"serve: there is no {kind!r}; write one of {', '.join(KINDS)}")
    if link is not None and kind != "supert-a0":
        raise ConfigError(f"serve: {kind} is on TCP ports; --link is for serial ports, write --port instead")
    if link is not None and port is not None:
        raise ConfigError("serve: --link names a serial port, --port a TCP port; leave one out")
    by_tcp = kind != "supert-a0" or port is not None or not PSEUDO_TERMINALS
    if link is not None and by_tcp:
        raise ConfigError("serve: this system has no serial ports that a program can play; write --port instead")
    if not by_tcp and count > 1 and link is None:
        raise ConfigError("serve: several serial ports have no common name; give them one by --link")
    if kind == "smu-matrix" and count > 1:
        raise ConfigError("serve: smu-matrix is three instruments already; start it again for another one")
    faults = [None if fault is None else parse_faults(fault, fault_seed + i) for i in range(count)]
    arrays = count * ARRAYS_PER_BOARD if kind == "supert-a0" else count
    states = [None] * arrays if state is None else [Path(name) for name in addresses(state, arrays)]
    notes = _journal(journal)
    try:
        with ExitStack() as stack:
            stack.enter_context(_stopped_by_signals())
            if kind == "supert-a0":
                boards = [
                    _board(stack, profile, seed + first, notes, paced, states[first : first + ARRAYS_PER_BOARD])
                    for first in range(0, arrays, ARRAYS_PER_BOARD)
                ]
                if by_tcp:
                    address = _boards_by_tcp(stack, boards, port or 0, faults)
                else:
                    address = _boards_on_terminals(stack, boards, link, faults)
            elif kind == "openmena":
                address = _serve_shields(stack, profile, seed, port or 0, paced, notes, faults, states)
            elif kind == "smu-matrix":
                cells = _shape(shape or ("5x5" if matrix == "7001" else "16x16"))
                address = _serve_meters(
                    stack, profile, seed, cells, port or 0, notes, faults, meter, matrix, states[0]
                )
            else:
                cells = _shape(shape or "64x64")
                address = _serve_testers(
                    stack, profile, seed, cells, port or 0, paced, watchdog, notes, faults, states
                )
            console().print(address)
            while True:  # signal.pause would sleep through a signal that comes just before it
                time.sleep(_LOOK)
    except KeyboardInterrupt:
        console(stderr=True).print("stopped; outputs are grounded")
    except ConfigError:  # it did not start
        if journal is not None:
            journal.unlink()
        raise
    finally:
        notes.close()


def _journal(path: Path | None) -> Journal:
    """The journal of the electrodes, in a file that is new."""
    from imssa_lab.virtual.electrode_journal import Journal

    try:
        return Journal(path, _KEPT)
    except OSError as error:
        raise ConfigError(f"serve: the journal {path} cannot be begun ({error}); it must be a new file") from error


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP where it is not ignored, end it as Ctrl-C does."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    taken = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {signum: signal.signal(signum, stop) for signum in taken if signal.getsignal(signum) != signal.SIG_IGN}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _shape(text: str) -> tuple[int, int]:
    try:
        rows, cols = (int(part) for part in text.split("x"))
    except ValueError as error:
        raise ConfigError(f"serve: shape {text!r}; write for example 64x64") from error
    if rows < 1 or cols < 1:
        raise ConfigError(f"serve: shape {text!r}; at least 1x1 is needed")
    return rows, cols


def _board(
    stack: ExitStack, profile: str, seed: int, journal: Journal, paced: bool, states: Sequence[Path | None]
) -> SuperTBoard:
    from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard

    board = SuperTBoard(profile, seed, journal, paced, states=states)
    for bench in board.benches:
        _kept(stack, bench)
    return board


def _kept(stack: ExitStack, bench: BenchTwin) -> BenchTwin:
    """The same; its state is written, where it has a file, after its port has stopped."""
    stack.callback(bench.close)
    return bench


def _boards_by_tcp(
    stack: ExitStack, boards: Sequence[SuperTBoard], port: int, faults: Sequence[Faults | None]
) -> str:
    """Start superT A0 boards on TCP ports; the address of their arrays, `{index}` counting them where several."""
    ports = _started(stack, boards, port, faults)
    host, first = ports[0].address
    if len(ports) == 1:
        return f"serial+supert-a0:TCPIP::{host}::{first}::SOCKET"
    number = f"{{index//{ARRAYS_PER_BOARD}+{first}}}"
    return f"serial+supert-a0:TCPIP::{host}::{number}::SOCKET?array={{index%{ARRAYS_PER_BOARD}}}"


def _boards_on_terminals(
    stack: ExitStack, boards: Sequence[SuperTBoard], link: Path | None, faults: Sequence[Faults | None]
) -> str:
    """The same on pseudo-terminals."""
    from imssa_lab.virtual.server import PtyPort

    ports = [stack.enter_context(PtyPort(board, fault)) for board, fault in zip(boards, faults, strict=True)]
    if link is None:
        return f"serial+supert-a0:{ports[0].port}"
    several = len(ports) > 1
    for index, port in enumerate(ports):
        name = Path(f"{link}{index}") if several else link
        try:
            name.symlink_to(port.port)
        except OSError as error:
            raise ConfigError(f"serve: the link {name} cannot be made ({error}); choose another name") from error
        stack.callback(name.unlink, missing_ok=True)
    if not several:
        return f"serial+supert-a0:{link}"
    return f"serial+supert-a0:{link}{{index//{ARRAYS_PER_BOARD}}}?array={{index%{ARRAYS_PER_BOARD}}}"


def _serve_testers(
    stack: ExitStack,
    profile: str,
    seed: int,
    shape: tuple[int, int],
    port: int,
    paced: bool,
    watchdog: float,
    journal: Journal,
    faults: list[Faults | None],
    states: Sequence[Path | None],
) -> str:
    """Start SCPI array testers on ports that follow each other; the address, as for the boards."""
    from imssa_lab.virtual.bench_twin import BenchTwin
    from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester

    testers = [
        ScpiArrayTester(_kept(stack, BenchTwin(profile, shape, seed + index, journal, state)), paced, watchdog)
        for index, state in enumerate(states)
    ]
    ports = _started(stack, testers, port, faults)
    if len(ports) == 1:
        return f"visa+scpi:{ports[0].resource}"
    host, first = ports[0].address
    return f"visa+scpi:TCPIP::{host}::{{index+{first}}}::SOCKET"


def _serve_shields(
    stack: ExitStack,
    profile: str,
    seed: int,
    port: int,
    paced: bool,
    journal: Journal,
    faults: list[Faults | None],
    states: Sequence[Path | None],
) -> str:
    """Start OpenMENA shields on ports that follow each other; the address, as for the boards."""
    from imssa_lab.virtual.bench_twin import BenchTwin
    from imssa_lab.virtual.virtual_openmena import GAIN, OpenMenaBoard
    from imssa_lab.virtual.virtual_smu_matrix import meter_profile

    cells = meter_profile(profile)
    benches = [
        _kept(stack, BenchTwin(cells, (8, 8), seed + index, journal, state)) for index, state in enumerate(states)
    ]
    ports = _started(stack, [OpenMenaBoard(bench, paced) for bench in benches], port, faults)
    host, first = ports[0].address
    number = str(first) if len(ports) == 1 else f"{{index+{first}}}"
    window = f"low={cells.window.low:g}&high={cells.window.high:g}"
    return f"serial+openmena:TCPIP::{host}::{number}::SOCKET?gain={GAIN:g}&set=0.95&reset=2.5&{window}"


def _serve_meters(
    stack: ExitStack,
    profile: str,
    seed: int,
    shape: tuple[int, int],
    port: int,
    journal: Journal,
    faults: list[Faults | None],
    model: str,
    switch: str,
    state: Path | None,
) -> str:
    """Start two source-measure units and a matrix around one array, on ports that follow each other; the address."""
    from imssa_lab.virtual.bench_twin import BenchTwin
    from imssa_lab.virtual.virtual_smu_matrix import MATRICES, METERS, Wiring, meter, meter_profile

    if model not in METERS or switch not in MATRICES:
        raise ConfigError(
            f"serve: meter {model!r}, matrix {switch!r}; meters are {', '.join(METERS)}, "
            f"matrices {', '.join(MATRICES)}"
        )
    wiring = Wiring(_kept(stack, BenchTwin(meter_profile(profile), shape, seed, journal, state)))
    meters = [meter(wiring, model, gates=gates) for gates in (False, True)]
    instruments: list[Instrument] = [*meters, MATRICES[switch](wiring)]
    for each in meters:  # a meter does not notice that its client goes, but here it is switched off with its port
        stack.callback(each.reset)
    smu, gate, matrix = (running.resource for running in _started(stack, instruments, port, [faults[0], None, None]))
    options = f"gate={gate}&matrix={matrix}&switch={switch}&shape={shape[0]}x{shape[1]}"
    return f"visa+smu-matrix:{smu}?{options}"


def _started(
    stack: ExitStack, instruments: Sequence[Instrument], port: int, faults: Sequence[Faults | None]
) -> list[TcpPort]:
    """Instruments on ports that follow each other, from `port` on; 0 for any."""
    for tries_left in reversed(range(1 if port else _TRIES)):
        try:
            ports = _consecutive(instruments, port, faults)
            break
        except OSError as error:
            if not tries_left:
                raise ConfigError(
                    f"serve: ports {port} to {port + len(faults) - 1} cannot be opened ({error}); choose others, "
                    "or 0 for any"
                ) from error
    for running in ports:
        stack.enter_context(running)
    return ports


def _consecutive(instruments: Sequence[Instrument], port: int, faults: Sequence[Faults | None]) -> list[TcpPort]:
    from imssa_lab.virtual.server import TcpPort

    ports: list[TcpPort] = []
    try:
        for instrument, fault in zip(instruments, faults, strict=True):
            wanted = port if not ports else ports[0].address[1] + len(ports)
            if wanted > _LAST_PORT:
                raise OSError(f"the last port is {_LAST_PORT}")
            ports.append(TcpPort(instrument, wanted, faults=fault))
    except OSError:
        for opened in ports:
            opened.give_up()
        raise
    return ports
