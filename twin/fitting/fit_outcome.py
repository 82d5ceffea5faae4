"""What a fit of one quantity hands on: profile sections, parameters, proof, and what the data could not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray


@dataclass(frozen=True)
class Remark:
    """A remark about the data; `rows` are numbers of rows in the file, from 1."""

    what: str
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.rows:
            return self.what
        shown = ", ".join(str(row) for row in self.rows[:12])
        more = f" and {len(self.rows) - 12} more" if len(self.rows) > 12 else ""
        return f"{self.what} (row{'s' if len(self.rows) > 1 else ''} {shown}{more})"


@dataclass(frozen=True)
class Parameter:
    """A fitted number with its 90 % interval, in SI units.

    `upper_limit`: the data allow zero as well; `high` is a limit, and `value` says nothing.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    upper_limit: bool = False

    @property
    def poor(self) -> bool:
        """True if the interval is wider than the value itself."""
        return not self.high - self.low <= abs(self.value)


@dataclass(frozen=True)
class Group:
    """How well cells that took no part in the fit follow it: one level or band at one time."""

    label: str
    time: float | None
    cells: int
    ks: float
    ks_p: float
    anderson: float
    anderson_p: float
    coverage: float
    """Share of the cells inside the fitted 90 % interval."""


@dataclass(frozen=True)
class Curve(FrozenArrays):
    """A picture's worth of numbers: measured against the law, drawn as points over the diagonal or as two lines."""

    title: str
    x: FloatArray
    y: FloatArray
    x_label: str
    y_label: str
    fitted: FloatArray | None = None
    """The law at the same x; None: the diagonal."""
    log: bool = False


@dataclass(frozen=True)
class StepGroup:
    """Steps of single cells from one time to the next: unused cells against cells that move by the law.

    Attributes:
        times: both, s. p: chance of a larger KS distance, by bands of levels. robust, kurtosis, far: measured and by
            the law: quartile distance / 1.349 in S, excess kurtosis, and the 99.9 % quantile of |step| in S.
    """

    times: tuple[float, float]
    p: tuple[float, ...]
    robust: tuple[float, float]
    kurtosis: tuple[float, float]
    far: tuple[float, float]


@dataclass
class Outcome:
    """The fit of one quantity.

    Attributes:
        quantity: what was fitted.
        sections: keys of a twin profile with their values.
        held_out: mean ln likelihood of unused cells under each model, nats per cell; chosen: the better one.
        bands: the groups again, with levels pooled.
        steps: of single cells, for each interval between times.
        undetermined: what these data cannot say, in words.
    """

    quantity: str
    sections: dict[str, Any] = field(default_factory=dict)
    parameters: list[Parameter] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    bands: list[Group] = field(default_factory=list)
    steps: list[StepGroup] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    held_out: dict[str, float] = field(default_factory=dict)
    chosen: str = ""
    remarks: list[Remark] = field(default_factory=list)
    undetermined: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def levels_passed(self) -> float:
        """Share of the groups with KS p above 0.01; NaN without groups."""
        return _share([group.ks_p > 0.01 for group in self.groups])

    @property
    def bands_passed(self) -> float:
        """Share of the bands with a KS statistic of at most 0.05; NaN without bands."""
        return _share([band.ks <= 0.05 for band in self.bands])

    @property
    def steps_passed(self) -> float:
        """Share of the intervals' bands in which steps of unused cells have KS p above 0.01; NaN without."""
        return _share([p > 0.01 for one in self.steps for p in one.p])

    @property
    def coverage(self) -> float:
        """Share of all unused cells inside the fitted 90 % interval; NaN without groups."""
        cells = sum(group.cells for group in self.groups)
        return sum(group.coverage * group.cells for group in self.groups) / cells if cells else float("nan")

    def coverage_by_time(self) -> dict[float, float]:
        """The same for every time, s."""
        return {
            time: sum(g.coverage * g.cells for g in at) / sum(g.cells for g in at)
            for time in sorted({group.time for group in self.groups if group.time is not None})
            if (at := [group for group in self.groups if group.time == time])
        }


def _share(good: list[bool]) -> float:
    return sum(good) / len(good) if good else float("nan")
