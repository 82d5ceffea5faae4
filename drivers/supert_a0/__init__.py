"""The superT A0 board: three 64 x 64 arrays of 1T1R TaOx cells behind a PIC32 on a USB serial port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from drivers.supert_a0.controller import Boards
    from drivers.supert_a0.supert_array import SuperTArray

_WAYS = {"inputs", "cells", "adc"}
_OPTIONS = {"array", "block", "pulses", *_WAYS}
_open_boards: list[Boards] = []


def open_supert(port: str, options: Mapping[str, str]) -> SuperTArray:
    """The driver behind ``serial+supert-a0:/dev/ttyACM0?array=0&block=64x64``.

    Further options, the default first: ``inputs=bit-serial`` or ``unary``, ``cells=slow`` or ``rows``, ``adc=single``
    or ``two-step`` (see `drivers.supert_a0.reading.Reading`), and ``pulses=batch`` or ``single``.

    Raises:
        ConfigError: an unknown option or a value that cannot be read.
        LinkError: nothing answers at the port, or another instrument does.
    """
    from pydantic import ValidationError

    from drivers.serial_stream import open_serial
    from drivers.supert_a0.controller import Board, Boards
    from drivers.supert_a0.reading import Reading
    from drivers.supert_a0.supert_array import SuperTArray

    unknown = set(options) - _OPTIONS
    if unknown:
        raise ConfigError(
            f"serial+supert-a0:{port}: unknown option {sorted(unknown)[0]!r}; it takes {', '.join(sorted(_OPTIONS))}"
        )
    try:
        index = int(options.get("array", "0"))
        rows, cols = (int(part) for part in options.get("block", "64x64").split("x"))
    except ValueError as error:
        raise ConfigError(f"serial+supert-a0:{port}: {error}; write for example ?array=0&block=64x64") from error
    if not (0 <= index < 3 and 1 <= rows <= 64 and 1 <= cols <= 64):
        raise ConfigError(
            f"serial+supert-a0:{port}: array {index}, block {rows}x{cols}; there are arrays 0 to 2 of 64x64"
        )
    try:
        reading = Reading.model_validate({name: way for name, way in options.items() if name in _WAYS})
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"serial+supert-a0:{port}: {problem['loc'][0]}: {problem['msg']}") from error
    pulses = options.get("pulses", "batch")
    if pulses not in ("batch", "single"):
        raise ConfigError(f"serial+supert-a0:{port}: pulses={pulses}; write batch or single")
    if not _open_boards:
        _open_boards.append(Boards())
    board = _open_boards[0].get(port, lambda: Board(open_serial(port)))
    return SuperTArray(
        board, index, (rows, cols), reading=reading, pulses="single" if pulses == "single" else "batch"
    )
