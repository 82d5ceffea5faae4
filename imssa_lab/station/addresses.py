"""`open_array`: from an address to an array of any kind.

Drivers register under the entry point group ``imssa_lab.arrays``; nothing is imported before it is asked for.
"""

from __future__ import annotations

import operator
import re
from contextlib import ExitStack
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from imssa_lab.contract import own_packages
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.contract.suggestions import did_you_mean
from imssa_lab.station.station_file import Station, StationArray, named, station_path

GROUP = "imssa_lab.arrays"
_ARITHMETIC = {"+": operator.add, "//": operator.floordiv, "%": operator.mod}
_STEP = r"(\+|//|%)([1-9]\d*)"
_INDEX = re.compile(rf"\{{index(?:{_STEP})?(?:{_STEP})?\}}")


def open_array(address: str, *, calibrated: bool = True) -> CrossbarArray:
    """Open the array at an address ``SCHEME:PLACE?option=value&option=value``, or of an alias of the station file.

    Examples: ``twin:supert-a0?seed=1&shape=64x64``, ``serial+supert-a0:/dev/ttyACM0?array=1``,
    ``visa+scpi:TCPIP::192.168.0.7::5025::SOCKET``, ``replay:run.h5?array=0``, ``chip0``.

    Args:
        calibrated: False leaves the calibration file of an alias aside, to measure it again.

    Raises:
        ConfigError: the address cannot be read, no driver of that name is installed, or another module hides it.
        CalibrationError: the calibration file of an alias is damaged or of another chip.
        ImssaError: whatever the driver has to say about it.
    """
    entry = station_entry(address)
    if entry is not None:
        with named(address), ExitStack() as stack:
            array = open_array(entry.address)
            stack.callback(array.close)
            ready = entry.ready(array)
            if calibrated:
                entry.calibrate(ready)
            stack.pop_all()
            return ready
    scheme, place, options = split_address(address)
    entry_point = drivers()[scheme]
    own_packages.check(own_packages.needed_by(entry_point.module))
    try:
        driver = entry_point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"array {address!r}: the driver {scheme!r} cannot be loaded ({error})") from error
    opened: CrossbarArray = driver(place, options)
    return opened


def split_address(address: str) -> tuple[str, str, dict[str, str]]:
    """The driver, the place and the options that an address names; nothing is opened.

    Raises:
        ConfigError: the address cannot be read, or no driver of that name is installed.
    """
    scheme, colon, rest = address.partition(":")
    known = drivers()
    place, question, query = rest.partition("?")
    if scheme == "replay":  # a file may have a question mark in its name
        place, question, query = rest.rpartition("?") if question and not Path(rest).is_file() else (rest, "", "")
    if not (scheme and colon and place):
        raise ConfigError(
            f"array {address!r}: write SCHEME:PLACE, for example twin:supert-a0?seed=1; "
            f"an alias needs a station file ({station_path()})"
        )
    if scheme not in known:
        names = ", ".join(sorted(known)) or "none, as the package is not installed: pip install -e ."
        raise ConfigError(f"array {address!r}: no driver {scheme!r}, known are {names}{did_you_mean(scheme, known)}")
    return scheme, place, _options(address, query) if question else {}


def drivers() -> dict[str, EntryPoint]:
    """The drivers that are installed, by what addresses begin with; none is imported."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def station_entry(address: str) -> StationArray | None:
    """What the station file says of an alias; None for an address, or where there is no station file.

    Raises:
        ConfigError: the station file cannot be used, or has no such alias.
    """
    if ":" in address or not station_path().is_file():
        return None
    return Station.load().array(address)


def open_arrays(template: str, count: int) -> list[CrossbarArray]:
    """Open `count` arrays, all or none; ``{index}`` in the template becomes 0, 1, 2 ...

    Raises:
        ConfigError: several arrays are needed and the template has no ``{index}``.
    """
    with ExitStack() as stack:
        arrays = []
        for address in addresses(template, count):
            arrays.append(open_array(address))
            stack.callback(arrays[-1].close)
        stack.pop_all()
    return arrays


def addresses(template: str, count: int, first: int = 0) -> list[str]:
    """Addresses of `count` arrays; ``{index}`` in the template becomes first, first + 1 ...

    Where several arrays share a port, ``{index//3}`` counts the ports and ``{index%3}`` the arrays on each;
    ``{index+5025}`` counts from there; two steps, as in ``{index//3+5025}``, are taken from left to right.

    Raises:
        ConfigError: several arrays are needed and the template has no ``{index}``, or count is below 1.
    """
    if count < 1:
        raise ConfigError(f"array {template!r}: {count} arrays asked for, at least 1 is needed")
    if count > 1 and not _INDEX.search(template):
        raise ConfigError(
            f"array {template!r}: {count} arrays are needed; write {{index}} where their addresses differ, "
            "for example 'twin:supert-a0?seed={index}'"
        )
    return [_numbered(template, first + number) for number in range(count)]


def _numbered(template: str, index: int) -> str:
    def counted(found: re.Match[str]) -> str:
        value, steps = index, found.groups()
        for sign, operand in zip(steps[::2], steps[1::2], strict=True):
            value = value if sign is None else _ARITHMETIC[sign](value, int(operand))
        return str(value)

    return _INDEX.sub(counted, template)


def _options(address: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"array {address!r}: option {part!r} is not name=value; write for example ?seed=1")
        if name in options:
            raise ConfigError(f"array {address!r}: option {name!r} is given twice; keep one")
        options[name] = value
    return options
