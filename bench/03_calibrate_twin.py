"""Make a twin of a chip: program it, fit its programming error, and hold the twin against the chip.

    python bench/03_calibrate_twin.py --array "twin:supert-a0-easy?seed=1" --out twin-1

Pulses all cells: what the array holds is lost.
"""

import argparse
from pathlib import Path

import numpy as np

from imssa_lab import open_array, open_run, record
from imssa_lab.report.fit_report import verdicts
from twin import TwinProfile
from twin.fitting import quantities, run_tables
from twin.fitting.comparison import compare, differs
from twin.fitting.profile_file import fitted_profile, write_profile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--array", default="twin:supert-a0-easy?seed=1", help="address; replay:FILE repeats a session")
parser.add_argument("--out", type=Path, default=Path("calibrate-twin"), help="new folder")
parser.add_argument("--base", default="supert-a0-easy", help="profile for all that is not measured here")
choices = parser.parse_args()
choices.out.mkdir(parents=True)
log = choices.out / "run.h5"

with record(log, [open_array(choices.array)], {"script": "03_calibrate_twin"}) as (array,), array:
    window = array.info.window
    levels = window.low + window.span * np.array([0.15, 0.4, 0.65])
    for turn in range(2):  # every cell meets two levels
        place = np.add.outer(np.arange(array.info.rows), np.arange(array.info.cols)) + turn
        print(array.program_conductances(levels[place % len(levels)]))

table = run_tables.programming_table(log)
outcome = quantities.fit(table, "programming", quantities.Choices("", (), 0.0, None), np.random.default_rng(0))
for what, measured, good in verdicts(outcome):
    print(f"{'good ' if good else 'POOR '} {what}: {measured}")
base = TwinProfile.load(choices.base)
profile = fitted_profile(base, outcome.sections, choices.out.name, f"programming fitted to {log.name}")
write_profile(choices.out / "profile.toml", profile, f"programming: fitted to {log.name}")
with open_run(log) as run:
    apart = differs(compare(run, profile, (0, 1)))
print(f"twin and chip differ in: {', '.join(one.name for one in apart) or 'nothing'}")
print(f"use it as twin:{choices.out / 'profile.toml'}")
