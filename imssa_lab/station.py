"""`open_array`: from an address to an array, whoever drives it.

Drivers register under the entry point group ``imssa_lab.arrays``; nothing is imported before it is asked for.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points

from imssa_lab.errors import ConfigError
from imssa_lab.hal import CrossbarArray

GROUP = "imssa_lab.arrays"


def open_array(address: str) -> CrossbarArray:
    """Open the array at an address ``SCHEME:PLACE?option=value&option=value``.

    Examples: ``twin:supert-a0?seed=1&shape=64x64``, ``replay:run.h5?array=0``.

    Raises:
        ConfigError: the address cannot be read, or no driver of that name is installed.
        ImssaError: whatever the driver has to say about it.
    """
    scheme, colon, rest = address.partition(":")
    drivers = {entry.name: entry for entry in entry_points(group=GROUP)}
    if not colon:
        raise ConfigError(f"array {address!r}: write SCHEME:PLACE, for example twin:supert-a0?seed=1")
    if scheme not in drivers:
        near = get_close_matches(scheme, drivers, n=1)
        hint = f"; did you mean {near[0]}:?" if near else ""
        raise ConfigError(f"array {address!r}: no driver {scheme!r}{hint} There are: {', '.join(sorted(drivers))}")
    place, _, query = rest.partition("?")
    driver: CrossbarArray = drivers[scheme].load()(place, _options(address, query))
    return driver


def open_arrays(template: str, count: int) -> list[CrossbarArray]:
    """Open `count` arrays; ``{index}`` in the template becomes 0, 1, 2 ...

    Raises:
        ConfigError: several arrays are needed and the template has no ``{index}``.
    """
    if count > 1 and "{index}" not in template:
        raise ConfigError(
            f"array {template!r}: {count} arrays are needed; write {{index}} where their addresses differ, "
            "for example 'twin:supert-a0?seed={index}'"
        )
    return [open_array(template.replace("{index}", str(index))) for index in range(count)]


def _options(address: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else []:
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"array {address!r}: option {part!r} is not name=value")
        if name in options:
            raise ConfigError(f"array {address!r}: option {name!r} is given twice")
        options[name] = value
    return options
