"""What a bench does when a command on its arrays has ended: the programs that its station file names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import typer

from imssa_lab.cli.shared.session import console
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.station.station_file import Station

_Verb = ParamSpec("_Verb")
_PATIENCE = 30.0  # s that a program may take
_STOPPED = 130


def reports_end(verb: Callable[_Verb, None]) -> Callable[_Verb, None]:
    """The verb, followed by `on_end` of the station file, and by `on_trouble` where its exit code is not 0.

    Programs find in their environment IMSSA_COMMAND, IMSSA_EXIT_CODE, IMSSA_MESSAGE (one line) and IMSSA_FOLDER.
    One that fails is a line on stderr, and changes nothing else. Dry runs end silently.
    """

    @wraps(verb)
    def run(*given: _Verb.args, **named: _Verb.kwargs) -> None:
        code, message = 1, ""
        try:
            verb(*given, **named)
            code, message = 0, "ended"
        except typer.Exit as end:
            code, message = end.exit_code, "ended" if not end.exit_code else f"ended with exit code {end.exit_code}"
            raise
        except KeyboardInterrupt:
            code, message = _STOPPED, "stopped by Ctrl-C or a signal"
            raise
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
            raise
        finally:
            if not named.get("dry_run"):
                _start(verb.__name__, code, message)

    return run


def _start(verb: str, code: int, message: str) -> None:
    from imssa_lab.station.station_file import Station, station_path

    if not station_path().exists():
        return
    try:
        station: Station = Station.load()
    except ConfigError:
        return  # the verb has named it, or did not need it
    facts = {"COMMAND": verb, "EXIT_CODE": str(code), "MESSAGE": " ".join(message.split()), "FOLDER": str(Path.cwd())}
    environment = os.environ | {f"IMSSA_{name}": value for name, value in facts.items()}
    for what, program in (("on_end", station.on_end), ("on_trouble", station.on_trouble if code else ())):
        if not program:
            continue
        try:
            subprocess.run(program, env=environment, check=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            console(stderr=True).print(f"{what} of the station file: {error}", markup=False)
