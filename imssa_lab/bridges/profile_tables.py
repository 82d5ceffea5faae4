"""The laws of a profile as tables, for files that other simulators read: they need not know which laws there are.

All tables are of conductance by target and by normal score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from twin.profile import TwinProfile

_TARGETS = 33
_SCORES = np.linspace(-4.0, 4.0, 81)
"""Beyond four standard deviations the outermost conductance holds."""
_AGES = 8
"""Per decade of time."""
_LONGEST = 3e9
"""s, a century, where the source does not say."""


@dataclass(frozen=True)
class ProfileTables(FrozenArrays):
    """What cells of a profile are after programming, later, and in reads.

    Attributes:
        targets: S, rising evenly, (targets,); scores: normal scores, rising evenly, (scores,).
        programmed: S right after programming, (targets, scores).
        t0: s; log_ages: ln(1 + age/t0), rising, (ages,), empty for cells that do not relax.
        relaxed: S at those ages of cells left at the targets, (ages, targets, scores).
        until: s, the last age that is known.
        read_sd: S from read to read, median of the cells, (targets,); read_spread: sd of its ln over the cells.
    """

    targets: FloatArray
    scores: FloatArray
    programmed: FloatArray
    t0: float
    log_ages: FloatArray
    relaxed: FloatArray
    until: float
    read_sd: FloatArray
    read_spread: float

    @classmethod
    def of(cls, profile: TwinProfile, simulator: str) -> ProfileTables:
        """The tables of a profile with a section `programming`, for a simulator of this name.

        Raises:
            ConfigError: the profile has no law of programming.
        """
        if profile.programming is None:
            raise ConfigError(
                f"profile {profile.name}: it programs its cells by pulses, and {simulator} needs the errors that are "
                "left; fit them (imssa fit run.h5 --quantity programming) and give that profile"
            )
        targets = np.linspace(profile.window.low, profile.window.high, _TARGETS)
        programmed = profile.programming.quantiles(targets[:, None], _SCORES)
        t0, log_ages, relaxed, until = _relaxed(profile, targets)
        noise = profile.read_noise
        read_sd = noise.sd_median * (targets / noise.reference) ** noise.exponent
        return cls(targets, _SCORES, programmed, t0, log_ages, relaxed, until, read_sd, noise.sd_spread)


def filled(template: str, profile: TwinProfile, simulator: str, class_name: str) -> str:
    """A file for a simulator of this name: the template with the tables of a profile, in uS, and the class's name.

    A template names fields as `ProfileTables` does; `low` and `high` are the ends of the window in uS, `r_min` and
    `r_max` the resistances there in Ohm, inf for none.

    Raises:
        ConfigError: the profile has no law of programming, or the name cannot be that of a class.
    """
    if not class_name.isidentifier():
        raise ConfigError(f"class_name {class_name!r} is no name of a class; write for example ChipNoiseModel")
    tables = ProfileTables.of(profile, simulator)
    low, high = 1e6 * tables.targets[0], 1e6 * tables.targets[-1]
    return template.format(
        name=_plain(profile.name),
        source=_plain(profile.source),
        class_name=class_name,
        low=low,
        high=high,
        r_min=1e6 / high,
        r_max=1e6 / low if low > 0 else float("inf"),
        until=tables.until,
        targets=_text_of(1e6 * tables.targets),
        scores=_text_of(tables.scores),
        programmed=_text_of(1e6 * tables.programmed),
        t0=tables.t0,
        log_ages=_text_of(tables.log_ages),
        relaxed=_text_of(1e6 * tables.relaxed),
        read_sd=_text_of(1e6 * tables.read_sd),
        read_spread=tables.read_spread,
    )


def _relaxed(profile: TwinProfile, targets: FloatArray) -> tuple[float, FloatArray, FloatArray, float]:
    """t0 in s, ln(1 + age/t0), conductances in S (ages, targets, scores) then, and the last age that is known, s."""
    law = profile.relaxation
    if law is None:
        return 1.0, np.zeros(0), np.zeros((0, len(targets), len(_SCORES))), _LONGEST
    until = law.valid_until if law.valid_until is not None else _LONGEST
    first = min(law.t0, until) / 10
    ages = np.concatenate([[0.0], np.geomspace(first, until, max(2, round(_AGES * np.log10(until / first))))])
    start, score = (part.ravel() for part in np.meshgrid(targets, _SCORES, indexing="ij"))
    coefficients = law.coefficients(start)
    shape = (len(targets), len(_SCORES))
    relaxed = [law.conductance(start, coefficients, score, np.full(start.size, age)).reshape(shape) for age in ages]
    return law.t0, law.log_time(ages), np.array(relaxed), until


def _text_of(numbers: FloatArray) -> str:
    """Nested lists with nine digits, of numbers of any shape."""
    if numbers.ndim > 1:
        return "[" + ",\n".join(_text_of(row) for row in numbers) + "]"
    return "[" + ", ".join(f"{value:.9g}" for value in numbers) + "]"


def _plain(text: str) -> str:
    """The text without what would end a docstring."""
    return text.replace("\\", "/").replace('"', "'")
