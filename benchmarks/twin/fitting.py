"""Fits to measured cells: held-out tests, the null model, other data by the same command, and known truths."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from typer.testing import CliRunner

from benchmarks.bars import Bars
from benchmarks.twin import step_floor
from imssa_lab.contract.hal import FloatArray
from twin import DigitalTwin, TwinProfile
from twin.fitting.fit_outcome import Outcome
from twin.fitting.relaxation_fit import fit_relaxation
from twin.fitting.tables.measured_tables import Reading, Table, read_table
from twin.fitting.tailed_law import fit_levels
from twin.profile import Timing
from twin.relaxation import LogTimeRelaxation, tailed
from twin.relaxing_cells import RelaxingCells

DATA = Path(__file__).parents[3] / "shared" / "data" / "rram"
_NAMES = "addr,real,r,g,gi,range,timept"
_ROLES = {"cell": "addr", "time": "timept", "conductance": "g", "initial": "gi", "level": "range"}
_REPEATS = 100


def measure(bars: Bars) -> None:
    """Every bar of relaxation and fitting."""
    continuation(bars)
    round_trip(bars)
    if bars.smoke:
        bars.left_out("fits of measured data")
        return
    if not DATA.is_dir():
        print(f"measured data: skipped, there is no {DATA}")
        return
    tech_b(bars)
    same_command(bars)


def tech_b(bars: Bars) -> None:
    """Relaxation of 15,535 cells, split by cell; the Gaussian must fail, and a twin must repeat the statistics."""
    began = time.process_time()
    how = Reading(columns=_ROLES, names=tuple(_NAMES.split(",")), keep={"level": (0, 31)})
    table = read_table(DATA / "techB" / "relaxdata_10k.min.tsv.gz", how)
    crossed = fit_relaxation(table, np.random.default_rng(0), crossed=True, broken_at=(1e4,))
    seconds = time.process_time() - began
    single = fit_relaxation(table, np.random.default_rng(0), broken_at=(1e4,), model="tailed")
    null = fit_relaxation(table, np.random.default_rng(0), crossed=True, broken_at=(1e4,), model="gaussian")
    held = f"{len(single.groups)} groups of about {np.median([g.cells for g in single.groups]):.0f} held-out cells"
    bars.check(
        "techB, half fitted and half tested: levels and times with KS p > 0.01", single.levels_passed, ">=", 0.9, held
    )
    size = np.mean([g.cells for g in crossed.bands])
    note = f"each half by the law of the other: {size:.0f} held-out cells a band"
    bars.check("techB, bands and times with KS <= 0.05", crossed.bands_passed, ">=", 0.9, note)
    print(f"     the same with one half tested, chance of two halves of 1,000: {single.bands_passed:.3f}, no bar")
    bars.check("techB, levels and times with KS p > 0.01, each half by the other", crossed.levels_passed, ">=", 0.9)
    for what, outcome in (("half", single), ("crossed", crossed)):
        bars.check(f"techB coverage of the 90 % interval off 90 %, {what}", abs(outcome.coverage - 0.9), "<=", 0.02)
        worst = max(abs(value - 0.9) for value in outcome.coverage_by_time().values())
        bars.check(f"techB coverage off 90 % at the worst time, {what}", worst, "<=", 0.05)
    bars.check("null: levels that a single Gaussian passes", null.levels_passed, "<=", 0.5)
    bars.check("null: bands that a single Gaussian passes", null.bands_passed, "<=", 0.5)
    bars.check(
        "techB model chosen by held-out likelihood is the tailed one", float(crossed.chosen == "tailed"), "==", 1
    )
    steps(bars, single, table)
    print(f"     techB fit with both models, both halves and bootstrap: {seconds:.0f} s of processor time")
    on_twin(bars, table, single.sections["relaxation"], single.levels_passed)


def steps(bars: Bars, outcome: Outcome, table: Table) -> None:
    """How single cells of the unused half move between neighbouring times; two halves of the data reach 99 %.

    Beside each figure: what the fitted cells themselves say of the unused ones, and how often chance alone misses.
    """
    count = sum(len(one.p) for one in outcome.steps)
    note = f"{len(outcome.steps)} intervals, the last is no continuation and left out"
    bars.check(
        f"techB, steps of unused cells: bands of {count} with KS p > 0.01", outcome.steps_passed, ">=", 0.8, note
    )
    floors = [step_floor.of(table, one.times) for one in outcome.steps]
    for i, (what, (name, most)) in enumerate(step_floor.BARS.items()):
        for one, floor in zip(outcome.steps, floors, strict=True):
            measured, law = getattr(one, what)
            between = f"{one.times[0]:g} to {one.times[1]:g} s"
            bars.check(
                f"techB, steps, {between}: {name} off the data's",
                abs(law / measured - 1),
                "<=",
                most,
                f"the fitted cells themselves {floor.halves[i]:.2f}; another half of the data misses in "
                f"{floor.half_misses[i]:.0%} of halvings, a perfect law in {floor.law_misses[i]:.0%}",
            )
    chances = [float(np.prod([getattr(floor, name) for floor in floors])) for name in ("half_holds", "law_holds")]
    print(
        f"     all of these hold together: another half of the data {chances[0]:.0%}, a perfect law {chances[1]:.0%}"
    )


def on_twin(bars: Bars, table: Table, section: dict[str, object], analytic: float) -> None:
    """Cells of the half that was not fitted, programmed on twins to their own starts, waited and read."""
    from twin.fitting.levels import half_of

    test = ~half_of(table.take(table["time"] > 0)["cell"], np.random.default_rng(0))
    data = table.take(table["time"] > 0).take(test)
    ideal = TwinProfile.load("ideal")
    profile = ideal.model_copy(
        update={
            "relaxation": LogTimeRelaxation.model_validate(section),
            "timing": Timing(mvm=0.0, cell_read=0.0, pulse=0.0),
            "window": ideal.window.model_copy(update={"low": 1e-8, "high": 2e-4}),
        }
    )
    passed, inside, total = [], 0.0, 0
    for when in np.unique(data["time"]):
        at = data.take(data["time"] == when)
        start = np.resize(at["initial"], (1, 4 * at.size))
        chip = DigitalTwin(profile, start.shape, seed=1)
        chip.program_conductances(start)
        chip.wait(float(when))
        read = chip.read_conductances()
        levels = np.resize(at["level"], start.shape)
        for level in np.unique(at["level"]):
            real, ours = (at["conductance"] - at["initial"])[at["level"] == level], (read - start)[levels == level]
            passed.append(stats.ks_2samp(real, ours).pvalue > 0.01)
            low, high = np.quantile(ours, [0.05, 0.95])
            inside += float(np.sum((real > low) & (real < high)))
            total += real.size
    bars.check(
        "techB profile on a twin: levels and times with two-sample KS p > 0.01", float(np.mean(passed)), ">=", 0.9
    )
    bars.check("techB profile on a twin: off the law itself", abs(float(np.mean(passed)) - analytic), "<=", 0.05)
    bars.check("techB profile on a twin: coverage off 90 %", abs(inside / total - 0.9), "<=", 0.02)


def same_command(bars: Bars) -> None:
    """`imssa fit` as it is on files of two other groups; only tidy columns are added where a file lacks them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rram = DATA / "ni_rram"
        pre = np.loadtxt(rram / "prebake.tsv")
        target = 4e-6 * (((pre[:, 0] - 18433) // 2) % 32 + 0.5)
        _csv(folder / "prebake.csv", {"cell": pre[:, 0], "resistance": pre[:, 1], "target": target})
        read, bits = np.loadtxt(rram / "C1" / "read_3.tsv"), np.loadtxt(rram / "vectors_bitstream.txt")
        _csv(folder / "bits.csv", {"cell": read[:, 0], "resistance": read[:, 1], "bit": bits})
        book = str(DATA / "readc" / "SourceData_Fig_3.xlsx")
        programmed = _fit(folder / "prebake.csv", folder / "a")
        bars.check("ni_rram programming: levels with KS p > 0.01", programmed["levels_passed"], ">=", 0.9)
        stuck = _fit(folder / "bits.csv", folder / "b")["sections"]["stuck"]
        bars.check("ni_rram stuck on + off, of 32,768 each", stuck["on_fraction"] + stuck["off_fraction"], "<=", 0.01)
        args = ["--names", "a,i,v", "--column", "cell=a", "--column", "current=i", "--column", "voltage=v"]
        curves = _fit(rram / "read_multivolt.tsv", folder / "c", *args, "--series", "560")
        offset = float(curves["facts"]["instrument offset, subtracted"].split()[0])
        bars.check("ni_rram I-V: offset current off -2.0 uA, uA", abs(offset + 2.0), "<=", 0.1)
        args = ["--names", "a,t,R,g,I,Vs", "--column", "cell=a", "--column", "time=t", "--column", "conductance=g"]
        facts = _fit(rram / "ret1.csv", folder / "d", *args)["facts"]
        plateau = float(facts["upper half of the spectrum as white sd, median"].split()[0])
        bars.check("ni_rram trace: white part off 1.10 uS", abs(plateau / 1.10 - 1), "<=", 0.05)
        deviation = float(facts["Allan deviation over 100 readings, median"].split()[0])
        bars.check(
            "ni_rram trace: fitted Allan deviation over 100 readings off 0.36 uS",
            abs(deviation / 0.36 - 1),
            "<=",
            0.1,
        )
        unit = ["--unit", "conductance=uS", "--unit", "target=uS"]
        window = _fit(book, folder / "e", "--sheet", "3c_conductance_value", "--melt", "target", *unit)
        bars.check("readc programming is an acceptance window", float(window["chosen_model"] == "window"), "==", 1)
        half = window["parameters"][0]["value"] * 1e6
        bars.check("readc window off 5 uS", abs(half - 5), "<=", 0.25)
        args = ["--column", "cell=Target_Value_uS", "--column", "read=Read_Cycle"]
        args += ["--column", "conductance=Measured_Conductance_uS", "--unit", "conductance=uS"]
        cells = _fit(book, folder / "f", "--sheet", "3d", *args)["facts"]["cells"]
        bars.check("readc read noise: traces fitted", float(cells), "==", 7)


def continuation(bars: Bars) -> None:
    """10 s and then 90 s against 100 s at once, 100,000 cells a side."""
    law = LogTimeRelaxation(
        kind="log-time",
        t0=1e-3,
        levels=(10e-6, 100e-6),
        times=(0.01, 1e4),
        shift=((0.0, 0.0), (-1e-6, 0.0)),
        core=((0.4e-6, 0.4e-6), (1e-6, 0.8e-6)),
        down=((1e-6, 1e-6), (9e-6, 2e-6)),
        down_share=((0.3, 0.3), (0.4, 0.3)),
        correlation=(0.4,),
        knee=1.0,
    )
    found: list[FloatArray] = []
    for seed, waits in ((1, [100.0]), (2, [10.0, 90.0])):
        state = RelaxingCells(law, np.full((1, 100_000), 1e-6), np.random.default_rng(seed))
        state.notice(np.full((1, 100_000), 40e-6), np.zeros((1, 100_000), dtype=np.bool_), 0.0)
        for now in np.cumsum(waits):
            state.advance(float(now))
        found.append(state.conductance.ravel())
    once, twice = found
    bars.check("10 s + 90 s against 100 s: two-sample KS p", float(stats.ks_2samp(once, twice).pvalue), ">=", 0.01)


def round_trip(bars: Bars) -> None:
    """Data drawn from known parameters: how often the fit is within three of its own standard errors."""
    truth = np.array([[-0.2, -0.4], [0.5, 0.7], [3.0, 5.0], [0.3, 0.25], [2.0, 1.5], [0.1, 0.15]])
    truth[[0, 1, 2, 4]] *= 1e-6
    repeats = bars.size(_REPEATS, smoke=2)
    knots, off = np.array([10e-6, 100e-6]), []
    for repeat in range(repeats):
        rng = np.random.default_rng(1000 + repeat)
        level = rng.uniform(10e-6, 100e-6, 3000)
        shift, core, *tails = (np.interp(level, knots, row) for row in truth)
        moved = tailed(rng.standard_normal(level.size), shift, core, tuple(tails))
        law = fit_levels(level, moved, knots, rng)
        off.append(np.abs(law.table - truth) / law.error)
    within = (np.array(off) <= 3).mean(axis=0)
    bars.check(
        f"round trip, {repeats} repeats: worst parameter within 3 standard errors", float(within.min()), ">=", 0.95
    )
    print(f"     over all parameters: {float(within.mean()):.4f}; true for exact errors: 0.9973")


def _fit(data: Path | str, out: Path, *arguments: str) -> Any:
    from imssa_lab.cli import app

    done = CliRunner().invoke(app, ["fit", str(data), "--out", str(out), *arguments])
    if done.exit_code:
        raise SystemExit(f"imssa fit {data} failed: {done.output}")
    TwinProfile.load(out / "profile.toml")
    return json.loads((out / "report.json").read_text())


def _csv(path: Path, columns: dict[str, FloatArray]) -> None:
    np.savetxt(
        path,
        np.stack(list(columns.values()), axis=1),
        delimiter=",",
        header=",".join(columns),
        comments="",
        fmt="%.10g",
    )
