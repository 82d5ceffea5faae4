"""The script whose run file was written by the code of commit 96a7d76, before its modules were moved."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

from imssa_lab.contract.hal import CrossbarArray, FloatArray, Pulses
from imssa_lab.log import open_run

FILE = Path(__file__).with_name("before_the_move.h5.xz")
SHA256 = "eca13e0cb0683725ccc4524405a02515afccfec079f417b8df621c509b1936fd"
"""Of all answers that the two arrays gave when the file was written, in float64."""


def unpacked(folder: Path) -> Path:
    """The run file in `folder`; packed it is a tenth of that."""
    path = folder / "before_the_move.h5"
    path.write_bytes(lzma.decompress(FILE.read_bytes()))
    return path


def earlier_session(array: CrossbarArray) -> list[FloatArray]:
    """Reads, products, pulses, waits and the array's own recipe; every answer, device time last."""
    rng = np.random.default_rng(11)
    rows, cols = array.info.shape
    seen = [array.read_conductances(averages=2)]
    mask = rng.random((rows, cols)) < 0.5
    array.apply_pulses(Pulses.on(mask, "SET", 1.5, 0.9, 1e-6))
    seen.append(array.read_conductances(mask))
    array.wait(10.0)
    seen.append(array.read_mvm(rng.uniform(0, 0.2, (5, rows))))
    report = array.program_conductances(rng.uniform(10e-6, 120e-6, (rows, cols)))
    seen += [report.achieved, report.pulses.astype(float), report.outcome.astype(float)]
    array.apply_pulses(Pulses.on(~mask, "RESET", 1.2, 5.0, 1e-5))
    array.wait(100.0)
    seen.append(array.read_mvm(rng.uniform(0, 0.2, rows)))
    seen.append(array.read_mvm(rng.uniform(0, 0.2, (3, rows)), raw=True))
    return [*seen, np.array([array.time])]


def replayed_bytes(path: Path) -> tuple[bytes, int]:
    """All answers of the session replayed from the file, and how many recorded calls were left over."""
    with open_run(path) as run:
        arrays = run.arrays()
        seen = []
        for array in arrays:
            with array:
                seen += earlier_session(array)
        left = sum(array.calls_left for array in arrays)
    return b"".join(np.asarray(answer, dtype=np.float64).tobytes() for answer in seen), left
