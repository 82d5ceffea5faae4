"""Energy of an inference as a range, from a table of published figures, which the user may replace."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.suggestions import explain
from imssa_lab.s4d.cost import MultiplyAdds
from protocols.cost.read_counts import ReadCounts

OWN_TABLE = "energy.toml"


class Figure(BaseModel):
    """Energy of one operation, with its source.

    Attributes:
        name: of the circuit; joules: J for one operation; source: where the figure is published.
        seen: how it came into the table, such as that the source itself was not opened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)

    name: str = Field(min_length=1)
    joules: float = Field(ge=0)
    source: str = Field(min_length=1)
    seen: str = Field(min_length=1)


class EnergyTable(BaseModel):
    """Figures of each kind of operation; the smallest and the largest of a kind are the ends of a range.

    Attributes:
        conversion: of the current of one bit line; line_drive: of one word line in one product of one bit.
        multiply_add: digital, of 8-bit integers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conversion: tuple[Figure, ...] = Field(min_length=1)
    line_drive: tuple[Figure, ...] = Field(min_length=1)
    multiply_add: tuple[Figure, ...] = Field(min_length=1)

    @classmethod
    def load(cls, path: str | Path | None = None) -> EnergyTable:
        """The table in a TOML file; None for the one that comes with the package.

        Raises:
            ConfigError: no such file, not TOML, a kind without a figure, or a figure without its source.
        """
        where = str(path or OWN_TABLE)
        try:
            text = (files(__package__) / OWN_TABLE if path is None else Path(path)).read_text(encoding="utf-8-sig")
            return cls.model_validate(tomllib.loads(text))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"energy table {where}: cannot be read ({error})") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"energy table {where}: not TOML: {error}") from error
        except ValidationError as error:
            raise ConfigError(f"energy table {where}: {explain(cls, error, 'table')}") from error

    def range_of(self, kind: str) -> Range:
        """J of one operation of a kind, from the smallest figure to the largest."""
        joules = [figure.joules for figure in getattr(self, kind)]
        return Range(min(joules), max(joules))


@dataclass(frozen=True)
class Range:
    """From the smallest to the largest, in the same unit."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def times(self, count: float) -> Range:
        """The range multiplied by a count."""
        return Range(count * self.low, count * self.high)


@dataclass(frozen=True)
class ReadsEnergy:
    """J of reads; wires, amplifiers, leakage, control and the bench instruments are in none of it.

    Attributes:
        cells: sum of V^2 G times the time that the read voltage is applied; None where that is not known.
        conversions, line_drives: as a range over the table.
    """

    cells: float | None
    conversions: Range
    line_drives: Range

    def __add__(self, other: ReadsEnergy) -> ReadsEnergy:
        cells = None if self.cells is None or other.cells is None else self.cells + other.cells
        return ReadsEnergy(cells, self.conversions + other.conversions, self.line_drives + other.line_drives)

    def times(self, count: float) -> ReadsEnergy:
        """The energy multiplied by a count."""
        cells = None if self.cells is None else count * self.cells
        return ReadsEnergy(cells, self.conversions.times(count), self.line_drives.times(count))

    @property
    def whole(self) -> Range:
        """Of conversions, line drives and, where they are known, cells."""
        return self.conversions + self.line_drives + Range(self.cells or 0.0, self.cells or 0.0)


def reads_energy(counts: ReadCounts, conversions: float, applied: float | None, table: EnergyTable) -> ReadsEnergy:
    """What reads take.

    Args:
        conversions: those of products that count, such as of the bit lines in use alone.
        applied: s that the read voltage is applied in a product of one bit and in a reading of a cell.
    """
    return ReadsEnergy(
        None if applied is None else applied * counts.square_volts_siemens,
        table.range_of("conversion").times(conversions + counts.cell_reads),
        table.range_of("line_drive").times(counts.drives + counts.cell_reads),
    )


@dataclass(frozen=True)
class NetworkEnergy:
    """J of a whole network.

    Attributes:
        reads: of the arrays; rest: of the multiply-adds that stay digital beside them.
        digital: of the whole network in 8-bit integers instead.
        ratio: reads and rest over digital, from the least to the most that the table allows.
    """

    reads: ReadsEnergy
    rest: Range
    digital: Range
    ratio: Range


def network_energy(reads: ReadsEnergy, parts: MultiplyAdds, table: EnergyTable, dense: int = 0) -> NetworkEnergy:
    """A network whose kernels take `reads` for as many sequences as `parts` is of.

    Args:
        dense: multiply-adds of dense layers that these reads do as well.
    """
    mac, on_arrays = table.range_of("multiply_add"), reads.whole
    rest, digital = mac.times(parts.beside_kernels - dense), mac.times(parts.whole)
    # the same multiply-add counts on both sides: where it is cheap, arrays look worst
    least = (on_arrays.low + rest.high) / digital.high
    most = (on_arrays.high + rest.low) / digital.low
    return NetworkEnergy(reads, rest, digital, Range(least, most))


def energy_of_inference(facts: Mapping[str, Any], table: EnergyTable) -> NetworkEnergy:
    """One inference from its counts, without the cells, as nothing says how long they are read.

    Args:
        facts: as `protocols.cost.inference_counts.InferenceCounts.facts` gives them.
    """
    asked = ReadCounts(drives=facts["line_drives_at_most"])
    reads = reads_energy(asked, facts["conversions"], None, table)
    dense = facts.get("dense_multiply_adds_on_arrays", 0)
    return network_energy(reads, MultiplyAdds(**facts["multiply_adds"]), table, dense)


def break_even(on_arrays: int, conversions: float, table: EnergyTable) -> Range:
    """J below which a conversion must lie, drives and cells for nothing, for arrays to take less.

    Args:
        on_arrays: multiply-adds that they do by so many conversions.
    """
    return table.range_of("multiply_add").times(on_arrays / conversions)
