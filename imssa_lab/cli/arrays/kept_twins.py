"""Twins that are new chips every time they are opened: nothing is found again on them."""

from __future__ import annotations

from pathlib import Path


def why_new(template: str, first: int) -> str | None:
    """Why the array at an address, ``{index}`` counting from `first`, would be a new chip; None where it is not.

    Raises:
        ConfigError: the address cannot be read.
    """
    from imssa_lab.station.addresses import addresses, split_address, station_entry

    address = addresses(template, 1, first)[0]
    entry = station_entry(address)
    scheme, _, options = split_address(address if entry is None else entry.address)
    if scheme != "twin":
        return None
    if "state" not in options:
        return f"{template} is a twin without a kept state, a new chip each time, on which nothing is programmed"
    if not Path(options["state"]).exists():
        return f"there is no state {options['state']}: {template} would be a new chip, nothing programmed"
    return None
