"""Program levels, then read them again and again through the night, at times that grow evenly in log-time.

    python bench/05_overnight_drift.py --array "twin:supert-a0?seed=1" --out night-drift --hours 8

Pulses all cells: what the array holds is lost. Ctrl-C ends the night early; what was read is in file and picture.
"""

import argparse
from pathlib import Path

import numpy as np

from imssa_lab import measured, open_array, open_run, plots, record

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--array", default="twin:supert-a0?seed=1", help="address; replay:FILE repeats a session")
parser.add_argument("--out", type=Path, default=Path("overnight-drift"), help="new folder")
parser.add_argument("--hours", type=float, default=8.0)
parser.add_argument("--readings", type=int, default=24, help="how often")
choices = parser.parse_args()
choices.out.mkdir(parents=True)
log = choices.out / "run.h5"

with record(log, [open_array(choices.array)], {"script": "05_overnight_drift"}) as (array,), array:
    window = array.info.window
    levels = window.low + window.span * np.linspace(0.1, 0.8, 4)
    target = levels[np.arange(array.info.rows * array.info.cols).reshape(array.info.shape) % len(levels)]
    print(array.program_conductances(target))
    first = array.read_conductances(averages=8)
    times = np.geomspace(min(1.0, 3600 * choices.hours / 10), 3600 * choices.hours, choices.readings)
    try:
        for pause in np.diff(times, prepend=0.0):
            array.wait(float(pause))
            moved = array.read_conductances(averages=2) - first
            print(f"{array.time:10.0f} s: median {1e6 * np.median(moved):+.2f} uS, sd {1e6 * moved.std():.2f} uS")
    except KeyboardInterrupt:
        print("the night ends early")

with open_run(log) as run:
    plots.relaxation_fans(measured.repeats(run)).savefig(choices.out / "drift.svg", metadata={"Date": None})
print(f"all of it: {log}; the picture: {choices.out / 'drift.svg'}")
