"""Doing to an array again what a run did to its cells: for twins, which are fresh each time they are opened."""

from __future__ import annotations

import json
from operator import itemgetter

import numpy as np

from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.log.read.run_file import RunFile
from imssa_lab.log.schema import requests


def repeat(run: RunFile, index: int, array: CrossbarArray) -> None:
    """Give `array` the pulses that array `index` of a run got, at the same device times.

    Of the reads only the time passes. A twin whose profile has a `[programming]` law takes no pulses: it is
    programmed again. The cells of a twin of the same profile and seed then hold what they held, bit for bit where its
    profile has no relaxation.

    Raises:
        LogError: damaged records; LimitError: pulses or targets that this array may not get.
    """
    by_law = json.loads(run.infos[index].provenance.get("profile", "{}")).get("programming") is not None
    calls = sorted(
        (
            (int(seq), table, row, float(after))
            for table in requests()
            for row, (seq, owner, after) in enumerate(
                zip(*(run.column(table, name) for name in ("seq", "array", "device_time")), strict=True)
            )
            if owner == index
        ),
        key=itemgetter(0),
    )
    begun = array.time - run.opened_at(index)
    passed = run.opened_at(index)
    for _, table, row, after in calls:
        if table == "pulses":
            _pause(array, begun + passed)
            array.apply_pulses(run.pulses(row))
        elif table == "program" and by_law and bool(run.column("program", "default", row)):
            _pause(array, begun + passed - float(run.column("program", "seconds", row)))
            array.program_conductances(
                run.column("program", "target", row), run.column("program", "mask", row).astype(np.bool_)
            )
        passed = after if np.isfinite(after) else passed
    _pause(array, begun + passed)


def _pause(array: CrossbarArray, until: float) -> None:
    """Let time pass up to a device time, s."""
    if until > array.time:
        array.wait(until - array.time)
