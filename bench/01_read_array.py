"""Read an array, pulse nothing: what is on it, and do its products agree with its cells?

python bench/01_read_array.py --array "twin:supert-a0?seed=1" --out monday
"""

import argparse
from pathlib import Path

import numpy as np

from imssa_lab import open_array, record

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--array", default="twin:supert-a0?seed=1", help="address; replay:FILE repeats a session")
parser.add_argument("--out", type=Path, default=Path("read-array"), help="new folder")
parser.add_argument("--averages", type=int, default=8, help="readings of each cell")
choices = parser.parse_args()
choices.out.mkdir(parents=True)

with record(choices.out / "run.h5", [open_array(choices.array)], {"script": "01_read_array"}) as (array,), array:
    info = array.info
    print(f"{info.name} ({info.serial}), {info.rows} x {info.cols}")
    conductance = array.read_conductances(averages=choices.averages)
    levels = 1e6 * np.quantile(conductance, (0.05, 0.5, 0.95))
    print(f"5 % of the cells below {levels[0]:.2f} uS, half below {levels[1]:.2f}, 95 % below {levels[2]:.2f}")
    dead = np.flatnonzero(np.ptp(conductance, axis=0) == 0)
    print(f"bit lines on which all cells read the same: {dead.tolist() or 'none'}")
    # from 25 to 100 % of the read limit, each word line in its own order
    steps = np.linspace(0.25, 1.0, 16)
    voltages = info.limits.read_voltage * np.array([np.roll(steps, 5 * row) for row in range(info.rows)]).T
    current = array.read_mvm(voltages)
    ideal = voltages @ conductance
    error = np.sqrt(np.mean((current - ideal) ** 2)) / np.sqrt(np.mean(ideal**2))
    state = "not calibrated" if array.calibration is None else f"calibrated {array.calibration.date}"
    print(f"products: rms error {100 * error:.1f} % of the rms current, columns {state}")
print(f"all of it: {choices.out / 'run.h5'}; as a page: imssa report {choices.out / 'run.h5'}")
