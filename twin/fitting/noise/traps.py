"""Telegraph noise of a population: the section `telegraph` from cells with two levels, tested on other cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Outcome, Parameter, Remark
from twin.fitting.goodness import FEWEST, judge
from twin.fitting.noise.population import BEYOND, CELLS_FOR_SPREAD, SPAN_FOR_EXPONENT
from twin.fitting.noise.telegraph import FEWEST_READINGS, FEWEST_STAYS, Switching

_SHOWN = 16
_CHANCE = 0.01


@dataclass(frozen=True)
class Trapped(FrozenArrays):
    """Cells of which traces were searched for two levels.

    Attributes:
        cell: addresses; mean: conductances, S; train: of which the law is made; all (cells,). levels: what was found.
    """

    cell: FloatArray
    mean: FloatArray
    train: BoolArray
    levels: Switching

    def fit(self, reference: float, step: float | None, outcome: Outcome) -> dict[str, Any] | None:
        """The section `telegraph` from the cells in `train`, for a reference in S and readings `step` s apart.

        The outcome is given the parameters, how the other cells follow them, and what is not decidable. None where
        no cell has dwell times that are known, or readings have no times.
        """
        self._undecided(step, outcome)
        chosen = self.levels.decided & self.train
        count, of = int(chosen.sum()), int(self.train.sum())
        if step is None or not count:
            return None
        depth, error = self.levels.depth[chosen], self.levels.depth_error[chosen]
        x, y = np.log(self.mean[chosen] / reference), np.log(depth)
        exponent, spread = 0.0, 0.0
        if count >= CELLS_FOR_SPREAD:
            if np.exp(np.ptp(x)) >= SPAN_FOR_EXPONENT:
                exponent = max(-float(stats.theilslopes(y, x).slope), 0.0)
            spread = float(np.sqrt(max((y + exponent * x).var(ddof=1) - np.mean((error / depth) ** 2), 0.0)))
        middle = float(np.median(y + exponent * x))
        share = stats.binomtest(count, of).proportion_ci(0.9)
        outcome.parameters.append(Parameter("cells with telegraph noise", count / of, share.low, share.high, "1"))
        off = 1.645 * float(np.sqrt(spread**2 / count + np.mean((error / depth) ** 2) / count)) * 1.2533
        low, median, high = (float(np.exp(middle + sign * off)) for sign in (-1, 0, 1))
        outcome.parameters.append(Parameter("telegraph step, median, ln", median, low, high, "1"))
        stays = {name: step * getattr(self.levels, name)[chosen] for name in ("capture", "emission")}
        section: dict[str, Any] = {
            "fraction": count / of,
            "depth": float(np.exp(middle)),
            "spread": spread,
            "exponent": exponent,
            "deepest": BEYOND * float(depth.max()),
        } | {name: (float(of_cells.min()), float(of_cells.max())) for name, of_cells in stays.items()}
        self._single(step, outcome)
        self._judge(section, middle, reference, step, outcome)
        return section

    def _undecided(self, step: float | None, outcome: Outcome) -> None:
        seen, decided = self.levels.seen, self.levels.decided
        outcome.facts["cells with telegraph noise"] = f"{int(seen.sum())} of {seen.size}, by likelihood"
        if not seen.any():
            outcome.undetermined.append(
                "telegraph noise: none is clearly seen; steps below the noise, stays of about one reading, or of a "
                "whole trace would not be"
            )
            return
        if step is None:
            outcome.undetermined.append(
                "dwell times of telegraph noise: readings have no times; give --read-interval"
            )
        vague = seen & ~decided
        if vague.any():
            named = ", ".join(f"{cell:g}" for cell in self.cell[vague][:6]) + (" ..." if vague.sum() > 6 else "")
            outcome.undetermined.append(
                f"dwell times of telegraph noise in {int(vague.sum())} cells ({named}), not in the profile: "
                f"{FEWEST_STAYS:g} stays of {FEWEST_READINGS:g} readings on average are needed at both levels"
            )

    def _single(self, step: float, outcome: Outcome) -> None:
        """Levels and dwell times of the first cells."""
        known = self.levels
        for i in np.flatnonzero(known.decided)[:_SHOWN]:
            name = f"cell {self.cell[i]:g} at {1e6 * self.mean[i]:.1f} uS: "
            off = 1.645 * known.depth_error[i]
            outcome.parameters.append(
                Parameter(
                    name + "telegraph step, ln", known.depth[i], known.depth[i] - off, known.depth[i] + off, "1"
                )
            )
            for what, stay, error in (
                ("upper", known.capture[i], known.capture_error[i]),
                ("lower", known.emission[i], known.emission_error[i]),
            ):
                low, high = (step * stay * np.exp(sign * 1.645 * error) for sign in (-1, 1))
                title = f"{name}mean stay at the {what} level"
                outcome.parameters.append(Parameter(title, step * stay, float(low), float(high), "s"))

    def _judge(self, section: dict[str, Any], middle: float, reference: float, step: float, outcome: Outcome) -> None:
        """Cells that were not fitted: how many have telegraph noise, and how large and slow it is."""
        others, known = ~self.train, self.levels
        if not others.any():
            return
        found = [(int((known.decided & half).sum()), int(half.sum())) for half in (others, self.train)]
        p = float(stats.fisher_exact(np.array([(some, of - some) for some, of in found])).pvalue)
        outcome.facts["telegraph noise in cells that were not fitted"] = (
            f"{found[0][0]} of {found[0][1]}, in fitted ones {found[1][0]} of {found[1][1]}; chance of a larger "
            f"difference {p:.2g}"
        )
        if p < _CHANCE:
            outcome.remarks.append(Remark("cells that were not fitted have telegraph noise more or less often"))
        tested = known.decided & others
        if tested.sum() < FEWEST:
            outcome.undetermined.append(
                f"whether telegraph noise of other cells follows this law: {int(tested.sum())} of those not fitted "
                f"have it, {FEWEST} are needed"
            )
            return
        place = np.log(known.depth[tested]) + section["exponent"] * np.log(self.mean[tested] / reference) - middle
        spread = np.hypot(section["spread"], known.depth_error[tested] / known.depth[tested])
        outcome.groups.append(judge("telegraph step", None, stats.norm.cdf(place / spread)))
        for name in ("capture", "emission"):
            low, high = np.log(section[name])
            at = np.log(step * getattr(known, name)[tested])
            outcome.groups.append(judge(f"telegraph {name}", None, np.clip((at - low) / (high - low), 0.0, 1.0)))
