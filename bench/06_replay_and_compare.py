"""Ask an array what a recorded session asked another one, reads only, and say how the answers differ.

    python bench/06_replay_and_compare.py --log monday/run.h5 --array "replay:monday/run.h5" --out again

With replay:FILE of the same file as array the answers are the same to the last bit; with the chip itself they tell
how it has changed since. Pulses nothing: a session that pulsed is compared up to there.
"""

import argparse
from pathlib import Path

import numpy as np

from imssa_lab import open_array, open_run, record

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--log", type=Path, required=True, help="run file of the session to repeat")
parser.add_argument("--array", required=True, help="who is asked this time")
parser.add_argument("--out", type=Path, default=Path("replay-and-compare"), help="new folder")
choices = parser.parse_args()
choices.out.mkdir(parents=True)

with open_run(choices.log) as run:
    (then,) = run.arrays()
    steps = [(int(seq), "read_conductances", row) for row, seq in enumerate(run.column("read_conductances", "seq"))]
    steps += [(int(seq), "read_mvm", row) for row, seq in enumerate(run.column("read_mvm", "seq"))]
    other = [int(seqs[0]) for name in ("pulses", "waits", "calibrations") if (seqs := run.column(name, "seq")).size]
    last = min(other, default=max(seq for seq, _, _ in steps) + 1)
    with record(choices.out / "run.h5", [open_array(choices.array)], {"script": "06_replay"}) as (now,), now:
        for seq, call, row in sorted(step for step in steps if step[0] < last):
            if call == "read_mvm":
                first, count = (int(run.column(call, name, row)) for name in ("first", "count"))
                asked = run.column(call, "voltage", slice(first, first + count))
                answers = [one.read_mvm(asked, raw=True) for one in (then, now)]
            else:
                mask = run.column(call, "mask", row) != 0
                answers = [one.read_conductances(mask, int(run.column(call, "count", row))) for one in (then, now)]
            old, new = (answer[np.isfinite(answer)] for answer in answers)
            verdict = "the same bits" if np.array_equal(old, new) else "differ"
            scale = np.sqrt(np.mean(old**2))
            print(f"record {seq}, {call}: {verdict}, rms {100 * np.sqrt(np.mean((new - old) ** 2)) / scale:.2f} %")
if last <= max(seq for seq, _, _ in steps):
    print(f"from record {last} on the session changed the chip; that is not repeated")
