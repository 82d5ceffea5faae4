"""Where runs go, and the operator."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from imssa_lab.contract.errors import ConfigError


def run_place(address: str, verb: str) -> Path:
    """A new name in the log folder of the station for an alias, in the working folder for an address.

    Raises:
        ConfigError: the log folder cannot be made.
    """
    from imssa_lab.station.addresses import station_entry
    from imssa_lab.station.station_file import Station

    folder = Path() if station_entry(address) is None else Station.load().log_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"log_folder {folder} of the station file cannot be made: {error}") from error
    return folder / f"{verb}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%f')[:-3]}"


def bench_facts(address: str, title: str) -> dict[str, str]:
    """What the provenance of a run on one array holds beside `provenance()`: address, title, operator."""
    from imssa_lab.station.addresses import station_entry
    from imssa_lab.station.station_file import Station

    facts = {"array": address, "title": title}
    if station_entry(address) is not None and (operator := Station.load().operator):
        facts["operator"] = operator
    return facts
