"""Where runs go, the names of their logs, and the operator."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from imssa_lab.contract.errors import ConfigError

LOG = "run.h5"


def logs(out: Path) -> list[Path]:
    """The logs that a folder can hold, oldest first: run.h5, then those of what went on with it."""
    later = sorted(out.glob("run-*.h5"), key=lambda path: int(path.stem.removeprefix("run-")))
    return [out / LOG, *later]


def next_log(out: Path) -> Path:
    """The name of a new log in a folder: run.h5, then run-1.h5 ..."""
    return out / f"run-{len(logs(out))}.h5" if (out / LOG).exists() else out / LOG


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
