"""The station file: the arrays of a bench by alias, with their chips and limits of their own.

A file `station.toml` in the working folder, or where IMSSA_STATION says::

    operator = "A. Student"
    log_folder = "logs"

    [arrays.chip0]
    address = "serial+supert-a0:/dev/ttyACM0?array=0"
    chip = "seed 1"              # the serial number that the array must report
    [arrays.chip0.limits]        # V and s; never above those of the driver
    read_voltage = 0.15
    set = { voltage_max = 2.5 }
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imssa_lab.array_types import Limits
from imssa_lab.errors import ConfigError, WrongInstrument
from imssa_lab.hal import CrossbarArray
from imssa_lab.near import did_you_mean, explain

VARIABLE = "IMSSA_STATION"
DEFAULT = Path("station.toml")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PulseCaps(_Section):
    """Lower limits of one kind of pulse: V, and s for the width; None leaves the driver's."""

    voltage_max: float | None = Field(default=None, gt=0)
    gate_max: float | None = Field(default=None, gt=0)
    width_max: float | None = Field(default=None, gt=0)


class Caps(_Section):
    """Lower limits of an array; `read_voltage` in V."""

    read_voltage: float | None = Field(default=None, gt=0)
    set: PulseCaps = PulseCaps()
    reset: PulseCaps = PulseCaps()
    form: PulseCaps = PulseCaps()

    def on(self, limits: Limits) -> Limits:
        """The driver's `limits` with these in place of them.

        Raises:
            ConfigError: one lies above the driver's, or the array has no such pulses.
        """
        changes: dict[str, Any] = {}
        if self.read_voltage is not None:
            changes["read_voltage"] = _lower("read_voltage", self.read_voltage, limits.read_voltage, "V")
        for kind in ("set", "reset", "form"):
            caps = getattr(self, kind).model_dump(exclude_none=True)
            own = getattr(limits, kind)
            if caps and own is None:
                raise ConfigError(f"limits.{kind}: this array has no {kind.upper()} pulses; leave the section out")
            if caps:
                units = {"voltage_max": "V", "gate_max": "V", "width_max": "s"}
                lowered = {
                    key: _lower(f"{kind}.{key}", value, getattr(own, key), units[key]) for key, value in caps.items()
                }
                changes[kind] = own.model_copy(update=lowered)
        return limits.model_copy(update=changes)


class StationArray(_Section):
    """One array: its address, the serial number that it must report, limits below the driver's."""

    address: str
    chip: str | None = None
    limits: Caps = Caps()

    def ready(self, array: CrossbarArray) -> CrossbarArray:
        """The opened `array` with the limits of this station, after a look at its serial number.

        Raises:
            WrongInstrument: it reports another serial number; ConfigError: a limit above the driver's.
        """
        if self.chip is not None and array.info.serial != self.chip:
            raise WrongInstrument(
                f"{self.address} reports chip {array.info.serial!r}, the station file promises {self.chip!r}; "
                "put the right chip in, or correct the file"
            )
        array.lower_limits(self.limits.on(array.info.limits))
        return array


class Station(_Section):
    """A bench.

    Attributes:
        operator: who stands in the provenance of logs.
        log_folder: where runs go that name no folder of their own.
        arrays: by alias.
    """

    operator: str = ""
    log_folder: Path = Path(".")
    arrays: dict[str, StationArray] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path | None = None) -> Station:
        """Read a station file; None for that of IMSSA_STATION, else station.toml in the working folder.

        Raises:
            ConfigError: no such file, no TOML, or a key or value that it cannot have, named with its place.
        """
        where = path or station_path()
        try:
            tables = tomllib.loads(where.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{where}: no such station file; write one with `imssa station init`") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{where} cannot be read as TOML: {error}") from error
        try:
            return cls.model_validate(tables)
        except ValidationError as error:
            raise ConfigError(f"{where}: {explain(cls, error, 'file')}") from error

    def array(self, alias: str) -> StationArray:
        """The array of that alias; ConfigError with the nearest one where there is none."""
        if alias not in self.arrays:
            raise ConfigError(
                f"array {alias!r}: the station file has {', '.join(self.arrays)}{did_you_mean(alias, self.arrays)}"
            )
        return self.arrays[alias]


def station_path() -> Path:
    """Where the station file is looked for."""
    return Path(os.environ.get(VARIABLE, DEFAULT))


def _lower(what: str, asked: float, own: float, unit: str) -> float:
    if asked > own:
        raise ConfigError(
            f"limits.{what}: {asked:g} {unit} asked, the array's own limit is {own:g} {unit}; "
            f"a station may only allow less (values are in {unit}, so 200 mV is 0.2)"
        )
    return asked
