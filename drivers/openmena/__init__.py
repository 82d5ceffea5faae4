"""OpenMENA: an open 8 x 8 memristor shield for an Arduino Due (A. Safa et al., arXiv 2511.03747)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from drivers.openmena import wire
from drivers.openmena.openmena_array import Cells, OpenMenaArray
from drivers.serial_stream import open_serial
from imssa_lab.contract.array_types import Window
from imssa_lab.contract.errors import ConfigError

__all__ = ["Cells", "OpenMenaArray", "open_openmena"]

_NEEDED = ("gain", "set", "reset", "low", "high")
_EXAMPLE = "?gain=20000&set=0.3&reset=0.3&low=1e-6&high=100e-6"


def open_openmena(port: str, options: Mapping[str, str]) -> OpenMenaArray:
    """The driver behind ``serial+openmena:PORT?gain=20000&set=0.3&reset=0.3&low=1e-6&high=100e-6&read=0.05``.

    Nothing of the chip can be asked of the board: `gain` in V/A, `set` and `reset` in V, `low` and `high` in S.

    Raises:
        ConfigError: an option that is missing, unknown or cannot be read, or beyond what the board drives.
        LinkError: no answer, or another instrument.
    """
    place = f"serial+openmena:{port}"
    unknown = set(options) - {*_NEEDED, "read"}
    missing = [name for name in _NEEDED if name not in options]
    if unknown:
        raise ConfigError(f"{place}: unknown option {sorted(unknown)[0]!r}; it takes {', '.join(_NEEDED)} and read")
    if missing:
        raise ConfigError(f"{place}: option {missing[0]!r} is missing; write what your chip takes, as {_EXAMPLE}")
    try:
        given = {name: float(text) for name, text in options.items()}
        window = Window(low=given["low"], high=given["high"])
    except (ValueError, ValidationError) as error:
        raise ConfigError(f"{place}: {error}; write numbers, as {_EXAMPLE}") from error
    read, most = given.get("read", 0.05), wire.strongest()
    if not (0 < given["set"] <= most[0] and 0 < given["reset"] <= most[1]):
        raise ConfigError(
            f"{place}: set={given['set']:g} V, reset={given['reset']:g} V; the board drives SET up to "
            f"{most[0]:.3g} V and RESET up to {most[1]:.3g} V"
        )
    if not (10 * wire.STEP <= read <= wire.CENTRE - wire.STEP and given["gain"] > 0):
        raise ConfigError(
            f"{place}: read={read:g} V, gain={given['gain']:g} V/A; read from {10 * wire.STEP:.2g} to "
            f"{wire.CENTRE - wire.STEP:.3g} V and a gain above 0 are allowed"
        )
    cells = Cells(given["set"], given["reset"], window, given["gain"], read)
    return OpenMenaArray(open_serial(port, wire.BAUD), cells)
