"""The calibration file of an array: gain and offset of every bit line, of which chip, when, and how good.

JSON, written by `imssa calibrate`, read where a station file names it. SI units: A, S, K.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from imssa_lab.contract.errors import CalibrationError
from imssa_lab.contract.hal import ArrayInfo, ColumnCalibration
from imssa_lab.contract.suggestions import explain
from protocols.chip_record import chip_id

Columns = tuple[FiniteFloat, ...]


class CalibrationFile(BaseModel):
    """A column calibration as it lies on the disk: corrected = gain * measured + offset.

    Attributes:
        version: of the format.
        chip: name and serial of the chip; array: address or alias it was measured at.
        date: when; temperature: K, None where not given.
        gain: one for each bit line; offset: A, the same.
        before, after: rms of what products miss without and with the calibration, as the conductance of one cell, S,
            for each bit line, on vectors that the calibration was not fitted to.
        log: name of the run file with everything that was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    chip: str
    array: str
    date: AwareDatetime
    temperature: FiniteFloat | None = Field(default=None, gt=0)
    gain: Columns = Field(min_length=1)
    offset: Columns
    before: Columns
    after: Columns
    log: str

    @model_validator(mode="after")
    def _one_length(self) -> CalibrationFile:
        lengths = {name: len(getattr(self, name)) for name in ("gain", "offset", "before", "after")}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"one value for each bit line, there are {lengths}")
        return self

    @classmethod
    def load(cls, path: str | Path) -> CalibrationFile:
        """Read a file that `save` wrote.

        Raises:
            CalibrationError: no such file, not readable, or a key or value that it cannot have.
        """
        try:
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8-sig"))
        except FileNotFoundError as error:
            raise CalibrationError(f"{path}: no such calibration file; `imssa calibrate` measures one") from error
        except ValidationError as error:
            raise CalibrationError(
                f"{path}: {explain(cls, error, 'file')}; measure again with `imssa calibrate`"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise CalibrationError(f"{path} cannot be read: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the file, as a whole or not at all; it replaces an older one.

        Raises:
            CalibrationError: it cannot be written.
        """
        where = Path(path)
        draft = where.with_name(f"{where.name}.draft")
        try:
            draft.write_text(self.model_dump_json(indent=1), encoding="utf-8")
            draft.replace(where)
        except OSError as error:
            raise CalibrationError(f"{path} cannot be written: {error}; choose another place") from error

    def of(self, info: ArrayInfo, path: str | Path) -> ColumnCalibration:
        """The calibration for an array; `path` is what errors call the file.

        Raises:
            CalibrationError: it is that of another chip, or of another number of bit lines.
        """
        if self.chip != chip_id(info):
            raise CalibrationError(
                f"{path}: calibration of chip {self.chip!r}, connected is {chip_id(info)!r}; it was not used. "
                "Insert the right chip, or calibrate this one with `imssa calibrate`"
            )
        if len(self.gain) != info.cols:
            raise CalibrationError(
                f"{path}: calibration of {len(self.gain)} bit lines, {info.name} has {info.cols}; "
                "measure this block with `imssa calibrate`"
            )
        residual = np.array(self.after) * info.read_voltage
        date = self.date.isoformat(timespec="seconds")
        return ColumnCalibration(np.array(self.gain), np.array(self.offset), residual, date)

    def age(self, days: float, now: datetime | None = None) -> tuple[str, bool]:
        """How old it is in words, and whether that is stale: more than `days`, or in the future."""
        passed = (now or datetime.now(UTC)) - self.date
        words = f"{self.date.isoformat(timespec='seconds')}, {_age(passed)}"
        if passed < timedelta(minutes=-5):
            return f"{words}: in the future, so the clock of this computer or of that one is wrong", True
        if passed > timedelta(days=days):
            return f"{words}: STALE, older than {days:g} days", True
        return words, False


def _age(passed: timedelta) -> str:
    hours = passed / timedelta(hours=1)
    return f"{hours / 24:.0f} days old" if abs(hours) >= 48 else f"{hours:.1f} hours old"
