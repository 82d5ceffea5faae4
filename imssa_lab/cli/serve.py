"""`imssa serve`: an instrument without hardware, a twin behind a real wire."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.session import console
from imssa_lab.errors import ConfigError

if TYPE_CHECKING:
    from twin.instruments.faults import Faults
    from twin.instruments.journal import Journal
    from twin.instruments.server import PtyPort, TcpPort

KINDS = ("scpi", "supert-a0")


def serve(
    kind: Annotated[str, typer.Argument(help=f"What it is: {', '.join(KINDS)}.")],
    profile: Annotated[str, typer.Option(help="Preset or TOML file of the twin inside.")] = "supert-a0",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 for any that is free.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Which chip of its kind.")] = 0,
    shape: Annotated[str, typer.Option(help="Word lines x bit lines; a superT A0 is always 64x64.")] = "64x64",
    paced: Annotated[bool, typer.Option("--paced", help="Let operations take their time.")] = False,
    watchdog: Annotated[
        float, typer.Option(min=0, help="s of silence after which outputs are grounded; a superT A0 has none.")
    ] = 2.0,
    journal: Annotated[Path | None, typer.Option(help="New text file: what the electrodes saw.")] = None,
    fault: Annotated[
        str | None, typer.Option(help="KIND[,KIND...][@RATE][/SECONDS], or all@RATE: what goes wrong on the wire.")
    ] = None,
    fault_seed: Annotated[int, typer.Option(min=0, help="Of what goes wrong when.")] = 0,
) -> None:
    """Serve an instrument until Ctrl-C; its address is the first line on stdout."""
    from twin.instruments.faults import parse_faults
    from twin.instruments.journal import Journal

    if kind not in KINDS:
        raise ConfigError(f"serve: there is no {kind!r}; write one of {', '.join(KINDS)}")
    faults = None if fault is None else parse_faults(fault, fault_seed)
    notes = Journal(journal)
    running = _port(kind, profile, _shape(shape), seed, port, paced, watchdog, notes, faults)
    console().print(_address(kind, running))
    try:
        with running:
            running.join()
    except KeyboardInterrupt:
        console(stderr=True).print("stopped; outputs are grounded")
    finally:
        notes.close()


def _shape(text: str) -> tuple[int, int]:
    try:
        rows, cols = (int(part) for part in text.split("x"))
    except ValueError as error:
        raise ConfigError(f"serve: shape {text!r}; write for example 64x64") from error
    if rows < 1 or cols < 1:
        raise ConfigError(f"serve: shape {text!r}; at least 1x1 is needed")
    return rows, cols


def _port(
    kind: str,
    profile: str,
    shape: tuple[int, int],
    seed: int,
    port: int,
    paced: bool,
    watchdog: float,
    journal: Journal,
    faults: Faults | None,
) -> TcpPort | PtyPort:
    from twin.instruments.bench import BenchTwin
    from twin.instruments.scpi_array import ScpiArrayTester
    from twin.instruments.server import PtyPort, TcpPort
    from twin.instruments.supert_a0 import SuperTBoard

    if kind == "supert-a0":
        if port:
            raise ConfigError(
                "serve: a superT A0 sits on a pseudo-terminal, which the system names; leave --port out"
            )
        return PtyPort(SuperTBoard(profile, seed, journal, paced), faults)
    try:
        return TcpPort(
            ScpiArrayTester(BenchTwin(profile, shape, seed, journal), paced, watchdog), port, faults=faults
        )
    except OSError as error:
        raise ConfigError(f"serve: port {port} cannot be had ({error}); choose another, or 0 for any") from error


def _address(kind: str, running: TcpPort | PtyPort) -> str:
    from twin.instruments.server import TcpPort

    return f"visa+scpi:{running.resource}" if isinstance(running, TcpPort) else f"{kind}:{running.port}"
