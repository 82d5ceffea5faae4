"""Fits of read noise: known populations come back, and no twin cell is noisier than twice the noisiest measured."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from benchmarks.twin import fitted_telegraph
from benchmarks.twin.fitting import DATA
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Outcome
from twin.fitting.noise.judgement import short_and_slow
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.tables.measured_tables import Reading, Table, read_table
from twin.noise import CellNoise, ReadNoise

_CELLS = 20
_OF_FLICKER = 1.648278
"""Adjacent differences, halved, of a spectrum 1/f: gamma + ln pi - Ci(pi)."""

_READINGS_OF_FASTEST = 2.868
"""Interval of the readings over the fastest time constant of the fitted law."""


def measure(bars: Bars) -> None:
    """Synthetic sets with and without white noise and interference, and the trace of a measured cell."""
    repeats = bars.size(20, smoke=1)
    for what, share, hum in (
        ("no white noise", 0.0, 0.0),
        ("a third white", 0.33, 0.0),
        ("white alone", 1.0, 0.0),
        ("a third white and interference", 0.33, 0.5e-6),
    ):
        synthetic(bars, what, share, hum, repeats)
    fitted_telegraph.measure(bars)
    if bars.smoke:
        bars.left_out("the measured trace")
    elif not DATA.is_dir():
        print(f"measured trace: skipped, there is no {DATA}")
    else:
        how = Reading(columns={"cell": "a", "time": "t", "conductance": "g"}, names=("a", "t", "R", "g", "I", "Vs"))
        table = read_table(DATA / "ni_rram" / "ret1.csv", how)
        outcome = fit_read_noise(table, np.random.default_rng(0))
        print(f"     ni_rram trace: telegraph noise in {outcome.facts['cells with telegraph noise']}")
        loudest = float(short_and_slow(table["conductance"][np.newaxis])[0].max())
        bars.check("ni_rram trace: loudest of 4,096 twin cells over it", _loudest(outcome) / loudest, "<=", 2.0)


def synthetic(bars: Bars, what: str, share: float, hum: float, repeats: int) -> None:
    """Sets of 20 cells, spread .4 in ln, 2,048 readings each."""
    readings, within, loud = bars.size(2048, smoke=256), [], 0.0
    for repeat in range(repeats):
        table, short = _set(share, hum, readings, 10_000 + repeat)
        outcome = fit_read_noise(table, np.random.default_rng(repeat))
        found = {one.name: one for one in outcome.parameters}
        for name, truth in (
            ("noise from reading to reading, median", 0.35e-6),
            ("white share of its variance", share),
            ("spread from cell to cell, sd of ln", 0.4),
        ):
            error = (found[name].high - found[name].low) / 3.29
            if "share" in name:
                error = max(error, 0.003)  # the step of the shares that are tried at 0 and 1
            within.append(abs(found[name].value - truth) <= 3 * error)
        loud = max(loud, _loudest(outcome) / float(short.max()))
    good = float(np.mean(within))
    bars.check(f"noise, {what}: parameters within 3 standard errors, {repeats} sets", good, ">=", 0.95)
    bars.check(f"noise, {what}: loudest of 4,096 twin cells over the loudest measured", loud, "<=", 2.0)


def _loudest(outcome: Outcome) -> float:
    """The largest noise from reading to reading of 4,096 twin cells at the reference, S, over 256 readings."""
    law = ReadNoise.model_validate(outcome.sections["read_noise"])
    streams = (np.random.default_rng(1), np.random.default_rng(2))
    noise = CellNoise(law, (1, 4096), *streams)
    step = 1.0 if law.flicker is None else law.flicker.resolved * _READINGS_OF_FASTEST
    drawn = noise.of_cells(np.full((1, 4096), law.reference), 0.2, step * np.arange(256.0))
    return float(short_and_slow(drawn[:, 0].T)[0].max())


def _set(share: float, hum: float, readings: int, seed: int) -> tuple[Table, FloatArray]:
    rng = np.random.default_rng(seed)
    short = 0.35e-6 * np.exp(0.4 * rng.standard_normal(_CELLS))
    parts = [(one**2 * share, one**2 * (1 - share) / _OF_FLICKER) for one in short]
    values = 50e-6 + np.stack([fitted_telegraph.trace(*part, readings, rng) for part in parts])
    values += hum * np.sin(2 * np.pi * 0.237 * np.arange(readings))
    return fitted_telegraph.as_table(values), short
