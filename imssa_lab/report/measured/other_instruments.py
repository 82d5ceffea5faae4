"""What other instruments measured during a run."""

from __future__ import annotations

import numpy as np
import xarray

from imssa_lab.contract.errors import LogError
from imssa_lab.log.run import Run
from imssa_lab.log.write.other_readings import MEASUREMENTS
from imssa_lab.report.measured.run_columns import columns


def other_instruments(run: Run) -> xarray.Dataset:
    """Every quantity that `log.measure` or `log.poll` recorded, a variable each.

    Returns:
        Variable NAME over its own dimension "NAME reading", in the unit of its attribute `units`, with the
        coordinates "NAME time" (UTC) and "NAME record" (number of the record).

    Raises:
        LogError: damaged records, or one name with two units.
    """
    seqs, walls, names, units, values = columns(run, MEASUREMENTS, "seq", "wall_time", "name", "unit", "value")
    data = xarray.Dataset(attrs={"run": str(run.path)})
    for raw in dict.fromkeys(names.tolist()):
        mine, name = names == raw, raw.decode()
        unit = {each.decode() for each in units[mine].tolist()}
        if len(unit) > 1:
            raise LogError(f"{run.path}: {name} is in {' and in '.join(sorted(unit))}; one unit a name is needed")
        dim = f"{name} reading"
        when = np.round(1e9 * walls[mine]).astype("datetime64[ns]")
        data[name] = (dim, values[mine], {"units": unit.pop()})
        data = data.assign_coords({f"{name} time": (dim, when), f"{name} record": (dim, seqs[mine].astype(np.int64))})
    return data
