"""Twin against chip: a recorded session repeated on twins, and every statistic of both side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.log import Run
from twin.digital_twin import DigitalTwin
from twin.fitting.checking.session_answers import calls_of, recorded, repeated
from twin.fitting.checking.session_statistics import ASPECTS, SessionStatistics
from twin.fitting.checking.share_test import share_chance
from twin.profile import TwinProfile

_FEWEST = 20
_CHANCE = 0.01
_LAWS = {
    "programming": ("programming", "measured_pulses"),
    "read noise": ("read_noise",),
    "change with time": ("relaxation", "read_noise"),
    "pulse response": ("measured_pulses",),
    "products": ("columns",),
    "I-V": ("nonlinearity",),
}
"""Sections of a profile that decide what a twin shows of an aspect."""
MOST_MISFIT = 0.15
"""KS distance by which a fit may miss its own session and still be held to describe it."""
_MEAN_CHANCE = 0.8687
"""Mean of Kolmogorov's distribution: sqrt(pi / 2) ln 2."""
_DECIDABLE, _ENOUGH = 2, 50
"""Aspects of a session that must have been compared, and values of at least one statistic, for a verdict."""


@dataclass(frozen=True)
class Statistic:
    """One statistic of a session, from the chip and from the twin.

    Attributes:
        chip, twin: its median over the cells, bit lines or calls, or a share of them, in SI. unit: of both.
        samples: values on each side. distance: KS statistic between the two, of shares their difference. p: chance
            of a larger one.
        aspect: what of the session it belongs to. share: whether it is a share of the values.
        misfit: distance, beyond chance, by which the fit missed the session that it was made from; p is that of a
            distance larger by this.
    """

    name: str
    chip: float
    twin: float
    unit: str
    samples: int
    distance: float
    p: float
    aspect: str = ""
    misfit: float = 0.0
    share: bool = False


@dataclass(frozen=True)
class Comparison:
    """A session and its twins.

    Attributes:
        statistics: all that were compared. apart: those that differ more than chance.
        not_compared: what the session does not tell, or tells of too few cells, and why.
    """

    statistics: list[Statistic]
    apart: list[Statistic]
    not_compared: list[str]

    @property
    def verdict(self) -> Literal["agree", "differ", "not decidable"]:
        """`not decidable` if nothing differs, but too little was compared to be significant."""
        if self.apart:
            return "differ"
        aspects = {one.aspect for one in self.statistics}
        enough = len(aspects) >= _DECIDABLE and any(one.samples >= _ENOUGH for one in self.statistics)
        return "agree" if enough else "not decidable"


def compare_twin(
    run: Run,
    profile: TwinProfile,
    seeds: tuple[int, ...],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Ask twins of `profile` for what the run asked its arrays, one twin per array and seed, and compare.

    Twins are programmed by the session's own programmers, as far as the record names them, and wait between calls
    as long as the chip did. They are other chips of the same kind, so single cells do not agree; distributions must,
    but for chance and for what the profile itself says that its laws miss, at most `MOST_MISFIT`.
    `progress` is called with the sessions, of chips and of twins, that are done and that there are.

    Raises:
        LogError: the run holds no call that can be compared. LimitError: the profile does not allow a request.
    """
    chip: dict[str, list[FloatArray]] = {}
    twin: dict[str, list[FloatArray]] = {}
    left_out: list[str] = []
    done, total = 0, len(run.infos) * (1 + len(seeds))
    for number, info in enumerate(run.infos):
        progress(done, total)
        calls = calls_of(run, number, info)
        unknown = sum(call.table == "program" and not call.known for call in calls)
        if unknown:
            left_out.append(
                f"{unknown} programmings of array {number}: by a loop that the record does not name; twins were "
                "brought to where it left the cells"
            )
        span = info.window.span
        _add(SessionStatistics(span).take(recorded(run, calls, info)), chip)
        done += 1
        for seed in seeds:
            progress(done, total)
            array = DigitalTwin(profile, info.shape, seed + 1000 * number)
            _add(SessionStatistics(span).take(repeated(run, calls, array)), twin)
            done += 1
    progress(done, total)
    found = []
    for name, parts in chip.items():
        values = np.concatenate(parts)
        _, label, _ = name.split("|")
        if name not in twin:
            left_out.append(f"{label}: the twin has none ({_why_not(label, profile)})")
        elif values.size < _FEWEST:
            left_out.append(f"{label}: {values.size} values, {_FEWEST} are needed")
        else:
            found.append(_compared(name, values, np.concatenate(twin[name]), profile))
    if not chip:
        raise LogError(f"{run.path}: no programming, read or product that can be compared; record a longer session")
    there = {name.split("|")[0] for name in chip}
    left_out += [f"{aspect}: {why}" for aspect, why in ASPECTS.items() if aspect not in there]
    return Comparison(found, significant_differences(found), left_out)


def significant_differences(statistics: list[Statistic], chance: float = _CHANCE) -> list[Statistic]:
    """The statistics that differ by more than chance, with Holm's correction for several tests."""
    ordered = sorted(statistics, key=lambda one: one.p)
    found: list[Statistic] = []
    for place, one in enumerate(ordered):
        if one.p > chance / (len(ordered) - place):
            break
        found.append(one)
    return found


def _add(values: dict[str, FloatArray], into: dict[str, list[FloatArray]]) -> None:
    for name, one in values.items():
        into.setdefault(name, []).append(one)


def _why_not(label: str, profile: TwinProfile) -> str:
    if profile.programming is not None and label in (
        "pulses per cell",
        "programming error",
        "cells out of tolerance",
    ):
        return "its profile programs by statistics, without pulses and by no loop but its own"
    return "it answered nothing of the kind"


def _fitted_to(name: str, profile: TwinProfile) -> int | None:
    """Cells or bit lines that the law behind a statistic was fitted to; None where it was not fitted to a session.

    Shares of stuck cells and lines are counts of one whole chip, and stay as exact as they are.
    """
    aspect = name.split("|")[0]
    counts = [getattr(profile.fitted_to, law) for law in _LAWS.get(aspect, ())] if profile.fitted_to else []
    return min((count for count in counts if count is not None), default=None)


def _compared(name: str, chip: FloatArray, twin: FloatArray, profile: TwinProfile) -> Statistic:
    aspect, label, unit = name.split("|")
    if unit == "share":
        counts = [int(side.sum()) for side in (chip, twin)]
        shares = float(chip.mean()), float(twin.mean())
        p = share_chance(counts[0], chip.size, counts[1], twin.size)
        apart = abs(shares[0] - shares[1])
        return Statistic(label, *shares, "1", min(chip.size, twin.size), apart, p, aspect, share=True)
    test, fitted_to = stats.ks_2samp(chip, twin), _fitted_to(name, profile)
    distance = float(test.statistic)
    misfit = 0.0 if profile.fitted_to is None else min(profile.fitted_to.misfit.get(label, 0.0), MOST_MISFIT)
    if fitted_to is None and not misfit:
        p = float(test.pvalue)
    else:
        p = fitted_chance(max(distance - misfit, 0.0), chip.size, twin.size, fitted_to)
    middles = float(np.median(chip)), float(np.median(twin))
    return Statistic(label, *middles, unit, min(chip.size, twin.size), distance, p, aspect, misfit)


def misfit_of(statistics: list[Statistic], twins: int) -> dict[str, float]:
    """By how much twins of a fit miss the session that was fitted, by statistic: KS distances beyond chance.

    Only where they miss it significantly, by a two-sample test of each. A second session of the same chip is then no
    further from the twins than by this and the chance of both sessions: distances between distributions obey the
    triangle inequality. Shares have none.

    Args:
        statistics: of that session. twins: how many times as many values they have as the chip.
    """
    found = {}
    for one in statistics:
        chance = _MEAN_CHANCE * np.sqrt((1.0 + 1.0 / twins) / one.samples)
        if not one.share and fitted_chance(one.distance, one.samples, twins * one.samples, None) < _CHANCE:
            found[one.name] = float(f"{np.sqrt(one.distance**2 - chance**2):.3g}")
    return found


def fitted_chance(distance: float, chip: int, twin: int, fitted_to: int | None) -> float:
    """Chance of a larger KS distance between so many values of a chip and of twins of a law fitted to others.

    The distribution of an efficient fit to n values varies no more than that of n values themselves (the bound of
    Cramer and Rao), so that the fit counts as a third sample; Kolmogorov's law by Stephens' approximation (J. R.
    Statist. Soc. B 32:115, 1970). Values of the chip that was fitted vary less: the test is on the safe side.
    """
    third = 0.0 if fitted_to is None else 1.0 / fitted_to
    root = float(np.sqrt(1.0 / (1.0 / chip + 1.0 / twin + third)))
    return float(stats.kstwobign.sf(distance * (root + 0.12 + 0.11 / root)))
