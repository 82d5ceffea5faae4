"""What the shell offers as values: aliases of the station file, beginnings of addresses, names of what there is.

Nothing here may raise, or print, whatever the files hold: a shell shows what it gets.
"""

from __future__ import annotations

from imssa_lab.contract.errors import ConfigError


def arrays(incomplete: str) -> list[str]:
    """Aliases of the station file, then what addresses begin with."""
    from imssa_lab.station.addresses import drivers
    from imssa_lab.station.station_file import Station

    try:
        aliases = list(Station.load().arrays)
    except ConfigError:
        aliases = []
    return _beginning(incomplete, [*aliases, *(f"{name}:" for name in sorted(drivers()))])


def tasks(incomplete: str) -> list[str]:
    """Names of the tasks."""
    from imssa_lab.s4d.tasks.task_names import CATALOGUE

    return _beginning(incomplete, list(CATALOGUE))


def programmers(incomplete: str) -> list[str]:
    """Names of the programmers."""
    from protocols.programmers.programmer_names import PROGRAMMERS

    return _beginning(incomplete, [name for name in PROGRAMMERS if name != "residual"])  # it needs other arrays


def packings(incomplete: str) -> list[str]:
    """Ways to pack kernels."""
    from typing import get_args

    from imssa_lab.mapping import Packing

    return _beginning(incomplete, list(get_args(Packing)))


def profiles(incomplete: str) -> list[str]:
    """Names of the presets; the shell completes paths."""
    from twin import preset_names

    return _beginning(incomplete, list(preset_names()))


def instruments(incomplete: str) -> list[str]:
    """Kinds of virtual instruments."""
    from imssa_lab.cli.shared.virtual_instruments import KINDS

    return _beginning(incomplete, list(KINDS))


def _beginning(incomplete: str, words: list[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
