"""Make a twin of a chip: program it, fit its programming error, and hold the twin against the chip.

    python bench/03_calibrate_twin.py --array "twin:supert-a0?seed=1" --out twin-1

Pulses all cells: what the array holds is lost.
"""

import argparse
from pathlib import Path

import numpy as np

from imssa_lab import (
    FitChoices,
    TwinProfile,
    compare_twin,
    fit_quantity,
    fit_verdicts,
    fitted_profile,
    open_array,
    open_run,
    programming_table,
    record,
    write_profile,
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--array", default="twin:supert-a0?seed=1", help="address; replay:FILE repeats a session")
parser.add_argument("--out", type=Path, default=Path("calibrate-twin"), help="new folder")
parser.add_argument("--base", default="supert-a0", help="profile for all that is not measured here")
choices = parser.parse_args()
choices.out.mkdir(parents=True)
log = choices.out / "run.h5"

with record(log, [open_array(choices.array)], {"script": "03_calibrate_twin"}) as (array,), array:
    window = array.info.window
    levels = window.low + window.span * np.array([0.15, 0.4, 0.65])
    for turn in range(2):  # every cell meets two levels
        place = np.add.outer(np.arange(array.info.rows), np.arange(array.info.cols)) + turn
        print(array.program_conductances(levels[place % len(levels)]))

table = programming_table(log)
outcome = fit_quantity(table, "programming", FitChoices(), np.random.default_rng(0))
for what, measured, good in fit_verdicts(outcome):
    print(f"{'good ' if good else 'POOR '} {what}: {measured}")
base = TwinProfile.load(choices.base)
profile = fitted_profile(base, outcome.sections, choices.out.name, f"programming fitted to {log.name}")
write_profile(choices.out / "profile.toml", profile, f"programming: fitted to {log.name}")
with open_run(log) as run:
    apart = compare_twin(run, profile, (0, 1)).apart
print(f"twin and chip differ in: {', '.join(one.name for one in apart) or 'nothing'}")
print(f"use it as twin:{choices.out / 'profile.toml'}")
