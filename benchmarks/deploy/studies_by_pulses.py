"""Bars of the studies on the measured board, by pulses: the origin's experiment as one command, and stuck cells."""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.studies.pulsed_chips import pulsed_trial
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.trials import ARM_WORDS, ARMS, StudyTrial
from trials.spoken_tones import write_tones
from twin import TwinProfile

_LOSS = {None: 1.0, 0.05: 3.0}
"""Points that our loop may lose against software, by the fraction of stuck cells; None: as the board was measured."""
_MINUTES = 20.0
_SMALLEST = [
    *("--chips", "1", "--tests", "4", "--pairs", "20", "--profile", "ideal"),
    *("--epochs-float", "1", "--epochs-quantised", "1"),
]


def origin(bars: Bars, chips: int) -> None:
    """`imssa study origin` on the stand-in with memory, from recordings to the page, on the cores that there are."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if bars.smoke:
            os.environ["IMSSA_DATA"] = str(write_tones(place, (0, 5, 10)))
        given = bars.size(["--chips", str(chips), "--workers", "2"], smoke=_SMALLEST)
        began, used = time.monotonic(), _processor()
        told = _asked(["study", "origin", *given, "--stuck", "0.05", "--out", str(place / "study"), "--json"])
        wall, processor = time.monotonic() - began, _processor() - used
    for row in told["rows"]:
        lost, where = row["lost"], "as measured" if row["stuck"] is None else f"{100 * row['stuck']:g} % stuck"
        words = "/".join(f"{value:.1f}" for value in lost)
        what = f"{told['task']}, {told['profile']} {where}, {len(lost)} chips"
        if row["arm"] == "ours":
            bars.check(f"{what}: points lost", statistics.mean(lost), "<=", _LOSS[row["stuck"]], words)
        else:
            print(
                f"     {what}, {ARM_WORDS[row['arm']]}: points lost {statistics.mean(lost):.1f}: {words}", flush=True
            )
    for model in told["models"]:
        low, null = model["software"][1], model["null"][0]
        bars.check("software's lower end over the control without memory, points", 100 * (low - null), ">=", 10.0)
    bars.check(
        "the whole command, minutes of wall time", wall / 60, "<=", _MINUTES, f"processor {processor / 60:.1f}"
    )


def stuck(bars: Bars, bench: Bench) -> None:
    """Stuck cells on the board's own profile: naive, corrected and our loop; dead lines and lasting noise left in."""
    bundle, sequences = trained("fsdd-order", "ternary", 0, bench.folder)
    tests = bars.size(100, smoke=4)
    model = StudyModel(bundle, sequences, tests, TwinProfile.load("supert-a0"))
    for fraction in bars.size((0.0, 0.05, 0.1), smoke=(0.05,)):
        for arm in ARMS:
            jobs = [StudyTrial(fraction, None, arm, chip) for chip in range(1, bench.chips + 1)]
            pairs = [pulsed_trial([model], job).accuracies for job in jobs]
            lost = [100 * (software - accuracy) for software, accuracy in pairs]
            words = "/".join(f"{value:.1f}" for value in lost)
            what = f"fsdd-order, ternary, supert-a0, {100 * fraction:g} % stuck, {ARM_WORDS[arm]}: points lost"
            if arm == "ours" and fraction in _LOSS:
                bars.check(what, statistics.mean(lost), "<=", _LOSS[fraction], words)
            else:
                print(f"     {what} {statistics.mean(lost):.1f}: {words}", flush=True)


def _asked(words: list[str]) -> dict[str, Any]:
    """What a verb answers to --json."""
    from typer.testing import CliRunner

    from imssa_lab.cli import app

    done = CliRunner().invoke(app, words)
    if done.exit_code:
        raise SystemExit(f"imssa {' '.join(words)}: {done.output}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _processor() -> float:
    """Processor time of this process and of those of its children that have ended, s."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
