"""The round trip on chips of other physics: one session fitted, the next one checked, and changes planted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bars
from benchmarks.twin.planted_aspects import finds
from imssa_lab.log import Recorded, RunLog, open_run
from protocols.characterisation.experiments import Schedule
from protocols.characterisation.protocol import Characterisation
from trials.metal_oxide_chip import MetalOxideChip, metal_oxide_kind
from twin import TwinProfile
from twin.fitting.comparison import Comparison, compare_twin
from twin.fitting.profile_file import fitted_profile
from twin.fitting.quantities import FitChoices
from twin.fitting.session.whole_session import fit_session

_MUST_FIND = 0.9
_TWINS = 3
_SMALL = 24


def measure(bars: Bars) -> None:
    """Chips of metal-oxide cells: profile of the first session against the second, and against changed chips."""
    chips, side = bars.size(20, smoke=1), bars.size(32, smoke=16)
    alarms, compared, agreed = 0, 0, 0
    found = dict.fromkeys(_changed(), 0)
    blamed: dict[str, int] = {}
    bare_alarms, bare_agreed = 0, 0
    for seed in range(chips):
        again, bare, seen = tried(seed, side, {} if bars.scale == "smoke" else _changed())
        bare_alarms += bare.verdict == "differ"
        bare_agreed += len(bare.statistics) - len(bare.apart)
        alarms += again.verdict == "differ"
        compared += len(again.statistics)
        agreed += len(again.statistics) - len(again.apart)
        for one in again.apart:
            blamed[one.name] = blamed.get(one.name, 0) + 1
        missing = [what for what, other in seen.items() if not finds(other, what, usual=again.apart)]
        print(
            f"   chip {seed}: {again.verdict} ({', '.join(one.name for one in again.apart)}), with no misfit allowed "
            f"for {bare.verdict} ({', '.join(one.name for one in bare.apart)}); not found: {', '.join(missing)}",
            flush=True,
        )
        for what, other in seen.items():
            found[what] += finds(other, what, usual=again.apart)
    for what, times in sorted(blamed.items(), key=lambda pair: -pair[1]):
        print(f"   {what}: differs without a change on {times} of {chips} chips")
    print(
        f"   with no misfit allowed for, no bar: {bare_agreed / compared:.4f} of the statistics agree, "
        f"{bare_alarms} of {chips} chips differ"
    )
    bars.check(f"round trip, second session: statistics that agree, {chips} chips", agreed / compared, ">=", 0.99)
    bars.check(f"round trip, second session: false alarms, {chips} chips", alarms / chips, "<=", 0.05)
    for what, count in found.items():
        bars.check(f"round trip, {what}: found", count / chips, ">=", _MUST_FIND)


def tried(
    seed: int, side: int, changes: dict[str, dict[str, Any]]
) -> tuple[Comparison, Comparison, dict[str, Comparison]]:
    """A chip's second session, and sessions with changes planted, compared with the profile of its first one.

    The second session also with no allowance for what the fit missed of the first one.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chip = MetalOxideChip(shape=(side, side), seed=seed)
        profile = _profile(_session(chip, folder / "first"), seed)
        second = _session(chip, folder / "second")
        again, bare = (_compared(second, one, seed) for one in (profile, _without_misfit(profile)))
        seen = {}
        for what, change in changes.items():
            other = MetalOxideChip(shape=(side, side), seed=seed, **change)
            seen[what] = _compared(_session(other, folder / what.replace(" ", "-")), profile, seed)
    return again, bare, seen


def _without_misfit(profile: TwinProfile) -> TwinProfile:
    assert profile.fitted_to is not None
    return profile.model_copy(update={"fitted_to": profile.fitted_to.model_copy(update={"misfit": {}})})


def _changed() -> dict[str, dict[str, Any]]:
    usual = metal_oxide_kind()
    assert usual.relaxation is not None
    law = usual.relaxation.model_dump()
    faster = {name: [1.5 * value for value in law[name]] for name in ("exponent_mean", "exponent_sd")}
    return {
        "SET noise x1.5": {"noise": 1.5},
        "stuck 0 -> 1 %": {"stuck": 0.01},
        "relaxation x1.5": {"kind": metal_oxide_kind(relaxation=faster)},
        "column gain +5 %": {"kind": metal_oxide_kind(columns={"gain": 1.05 * usual.columns.gain})},
        "read noise x1.5": {"kind": metal_oxide_kind(read_noise={"sd_median": 1.5 * usual.read_noise.sd_median})},
    }


def _session(chip: MetalOxideChip, folder: Path) -> Path:
    folder.mkdir()
    # of a small chip, which is there to see that all of it runs, as little as can be fitted
    usual = {"averages": 4, "sample": 2}
    small = {"reads": 40, "times": (1.0, 10.0)} if chip.info.rows < _SMALL else {}
    schedule = Schedule.model_validate(usual | small)
    with RunLog.create(folder / "run.h5", [chip], {}) as log:
        Characterisation(Recorded(chip, log), folder, schedule=schedule).run()
    return folder


def _profile(folder: Path, seed: int) -> TwinProfile:
    session = fit_session(
        folder, TwinProfile.load("ideal"), FitChoices(), np.random.default_rng(seed), lambda stage, done, total: None
    )
    return fitted_profile(session.base, session.sections, "fitted", "the first session")


def _compared(folder: Path, profile: TwinProfile, seed: int) -> Comparison:
    with open_run(folder / "run.h5") as run:
        return compare_twin(run, profile, tuple(5000 + _TWINS * seed + i for i in range(_TWINS)))
