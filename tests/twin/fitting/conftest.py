from pathlib import Path

import numpy as np
import pytest

from twin.fitting.tables.measured_tables import Table
from twin.relaxation import fallen, tailed

DATA = Path(__file__).parents[4] / "shared" / "data" / "rram"


@pytest.fixture
def rram():
    """The folder of measured data; skips without it."""
    if not DATA.is_dir():
        pytest.skip("needs the optional measurements in ../shared/data/rram")
    return DATA


def table(**columns):
    size = len(next(iter(columns.values())))
    values = {name: np.asarray(value, dtype=np.float64) for name, value in columns.items()}
    return Table(values, np.arange(2, size + 2), "synthetic")


def relaxed(cells=6000, seed=0, times=(0.1, 10.0), down=3e-6):
    """Cells from 5 to 100 uS that relax by a known law: core 0.5 uS, 30 % down by `down`, 10 % up by 2 uS."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(5e-6, 100e-6, cells)
    z = rng.standard_normal(cells)
    rows = []
    for number, time in enumerate(times):
        z = z if number == 0 else 0.6 * z + 0.8 * rng.standard_normal(cells)
        tails = tuple(np.full(cells, value) for value in (down, 0.3, 2e-6, 0.1))
        moved = tailed(z, np.full(cells, -0.2e-6), np.full(cells, 0.5e-6), tails)
        rows.append((np.arange(cells), np.full(cells, time), start, fallen(start, moved, 1.0)))
    cell, time, initial, conductance = (np.concatenate(part) for part in zip(*rows, strict=True))
    return table(cell=cell, time=time, initial=initial, conductance=conductance)
