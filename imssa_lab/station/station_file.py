"""The station file: the arrays of a bench by alias, with their chips and limits of their own.

A file `station.toml` in the working folder, or where IMSSA_STATION says::

    operator = "A. Student"
    log_folder = "logs"

    [arrays.chip0]
    address = "serial+supert-a0:/dev/ttyACM0?array=0"
    chip = "seed 1"              # the serial number that the array must report
    calibration = "chip0.json"   # beside this file; `imssa calibrate --array chip0` writes it
    programmer = "gate-start"    # instead of the chip's own, if a command names none
    [arrays.chip0.recipe]        # changes to the chip's write-verify recipe, S, V and s
    tolerance_out = 8e-6
    pulse_budget = 60
    [arrays.chip0.limits]        # V and s; never above those of the driver
    read_voltage = 0.15
    set = { voltage_max = 2.5 }
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from imssa_lab.contract.array_types import ArrayInfo, Limits
from imssa_lab.contract.errors import CalibrationError, ConfigError, ImssaError, WrongInstrument
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.contract.suggestions import did_you_mean, explain
from imssa_lab.station.calibration_file import CalibrationFile
from protocols.wrappers.recipe_override import RecipeOverride

_log = logging.getLogger(__name__)
_NOT_YET = "not there yet, so columns are not calibrated; measure it: imssa calibrate"
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
    """One array: its address, the serial number that it must report, limits below the driver's, how to use it.

    Attributes:
        calibration: file of its column calibration, relative to the station file.
        calibration_days: older ones are called stale.
        programmer: by name, instead of the chip's own; recipe: changes to the chip's write-verify recipe.
    """

    address: str
    chip: str | None = None
    calibration: Path | None = None
    calibration_days: float = Field(default=30.0, gt=0)
    programmer: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    limits: Caps = Caps()

    @field_validator("calibration")
    @classmethod
    def _beside_the_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return path if path is None or info.context is None else info.context / path

    @model_validator(mode="after")
    def _a_recording_has_its_own(self) -> StationArray:
        if self.address.startswith("replay:") and (self.calibration or self.programmer or self.recipe):
            raise ValueError("a recording brings its calibration and its recipe with it; leave them out")
        return self

    def ready(self, array: CrossbarArray) -> CrossbarArray:
        """The opened `array` with the limits and the recipe of this station, after a look at its serial number.

        Raises:
            WrongInstrument: it reports another serial number; ConfigError: a limit above the driver's, or a recipe
                that it cannot have.
        """
        if self.chip is not None and array.info.serial != self.chip:
            raise WrongInstrument(
                f"{self.address} reports chip {array.info.serial!r}, the station file names {self.chip!r}; "
                "put the right chip in, or correct the file"
            )
        array.lower_limits(self.limits.on(array.info.limits))
        return RecipeOverride(array, self.programmer, self.recipe) if self.programmer or self.recipe else array

    def calibrate(self, array: CrossbarArray) -> None:
        """Let `array` carry the calibration of the file; a warning where it is stale or was never measured.

        Raises:
            CalibrationError: the file is damaged or of another chip.
        """
        if self.calibration is None:
            return
        if not self.calibration.exists():
            _log.warning("%s: %s", self.calibration, _NOT_YET)
            return
        found = CalibrationFile.load(self.calibration)
        array.set_calibration(found.of(array.info, self.calibration))
        words, stale = found.age(self.calibration_days)
        if stale:
            _log.warning("%s: column calibration of %s; measure it again: imssa calibrate", self.calibration, words)

    def last_calibration(self, info: ArrayInfo) -> tuple[str, bool]:
        """The calibration file in words, date and age, for an array as `info` says; and whether it can be used."""
        if self.calibration is None:
            return "none", True
        if not self.calibration.exists():
            return f"{self.calibration}: {_NOT_YET}", True
        try:
            found = CalibrationFile.load(self.calibration)
            found.of(info, self.calibration)
        except CalibrationError as error:
            return str(error), False
        words, _ = found.age(self.calibration_days)
        warmth = "" if found.temperature is None else f", at {found.temperature - 273.15:.1f} degrees Celsius"
        return f"{self.calibration}: {words}{warmth}", True


class Station(_Section):
    """A bench.

    Attributes:
        operator: whom the provenance of logs names.
        log_folder: where runs go that name no folder of their own.
        on_end: program and its arguments, started when a command on arrays has ended, well or not.
        on_trouble: the same, where it did not end with exit code 0.
        arrays: by alias.
    """

    operator: str = ""
    log_folder: Path = Path(".")
    on_end: tuple[str, ...] = ()
    on_trouble: tuple[str, ...] = ()
    arrays: dict[str, StationArray] = Field(min_length=1)

    @model_validator(mode="after")
    def _aliases_end_at_an_address(self) -> Station:
        for alias in self.arrays:
            chain = [alias]
            while (address := self.arrays[chain[-1]].address) in self.arrays:
                chain.append(address)
                if chain.count(address) > 1:
                    raise ValueError(
                        f"{' -> '.join(chain)}: an alias that names itself; give one of them the address of an "
                        "array, as in twin:supert-a0?seed=1"
                    )
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Station:
        """Read a station file; None for that of IMSSA_STATION, else station.toml in the working folder.

        Raises:
            ConfigError: no such file, no TOML, or a key or value that it cannot have, named with its place.
        """
        where = path or station_path()
        try:
            tables = tomllib.loads(where.read_text(encoding="utf-8-sig"))
        except FileNotFoundError as error:
            raise ConfigError(f"{where}: no such station file; write one with `imssa station init`") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{where} cannot be read as TOML: {error}") from error
        try:
            return cls.model_validate(tables, context=where.parent)
        except ValidationError as error:
            raise ConfigError(f"{where}: {explain(cls, error, 'file')}") from error

    def array(self, alias: str) -> StationArray:
        """The array of that alias; ConfigError with the nearest one where there is none."""
        if alias not in self.arrays:
            raise ConfigError(
                f"array {alias!r}: the station file has {', '.join(self.arrays)}{did_you_mean(alias, self.arrays)}"
            )
        return self.arrays[alias]


@contextmanager
def named(alias: str, path: Path | None = None) -> Iterator[None]:
    """Errors within carry a note that says which array of the station file they are about."""
    try:
        yield
    except ImssaError as error:
        error.add_note(f"array {alias!r} of {path or station_path()}")
        raise


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
