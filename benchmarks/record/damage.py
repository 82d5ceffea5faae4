"""Single bytes flipped in a log: found by `verify`, never replayed as true; and replay itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.instrument import Instrument, step
from imssa_lab.contract.errors import ImssaError, LogError
from imssa_lab.log import open_run, record
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.chunks import scan

_SHAPE = (16, 16)
_STEPS = 25


def make(path: Path) -> list[bytes]:
    """A log of every kind of call, of wire bytes and an event; what the calls gave."""
    with record(path, [Instrument(_SHAPE)], {"notes": "n" * 100_000}) as (array,), array:
        seen = [step(array, number) for number in range(_STEPS)]
        wire = array.log.wire("link")
        for number in range(50):
            (wire.received if number % 2 else wire.sent)(bytes(range(number, number + 100)), time.time())
        array.log.event("level", "cells: good")
    return seen


def _payload(path: Path) -> list[int]:
    """Places of all bytes that carry data: stored chunks, and the long attributes."""
    places: list[int] = []
    with h5py.File(path, "r") as file:
        datasets: list[h5py.Dataset] = []
        file.visititems(
            lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) and item.chunks else None
        )
        handle = os.open(path, os.O_RDONLY)
        for dataset in datasets:
            for chunk in scan(dataset, handle):
                places.extend(range(chunk.byte_offset, chunk.byte_offset + chunk.size))
        os.close(handle)
        texts = [bytes(file.attrs["provenance"]), bytes(file["arrays/0"].attrs["info"])]
    data = path.read_bytes()
    for text in texts:
        at = data.index(text)
        places.extend(range(at, at + len(text)))
    return places


def flips(bars: Bars, folder: Path) -> None:
    """One byte at a random place takes another random value, many times over."""
    path, spoilt = folder / "flips.h5", folder / "spoilt.h5"
    seen = make(path)
    assert verify(path).good
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    trials = bars.size(1000, quick=100, smoke=3)
    for what, places in (("payload", np.array(_payload(path))), ("the whole file", np.arange(len(whole)))):
        unseen = untrue = 0
        for _ in range(trials):
            place = int(random.choice(places))
            data = bytearray(whole)
            data[place] ^= int(random.integers(1, 256))
            spoilt.write_bytes(data)
            unseen += _unseen(spoilt)
            untrue += _untrue(spoilt, seen)
        if what == "payload":
            bars.check(f"flips of one byte of {what} that verify does not see, of {trials}", unseen, "==", 0)
        else:
            print(
                f"     flips anywhere in the file that verify does not see: {unseen} of {trials} (empty space, sizes)"
            )
        bars.check(f"flips of one byte of {what} replayed as true, of {trials}", untrue, "==", 0)


def _unseen(path: Path) -> bool:
    try:
        return verify(path).good
    except LogError:
        return False


def _untrue(path: Path, seen: list[bytes]) -> bool:
    try:
        with open_run(path) as run:
            (array,) = run.arrays()
            return any(step(array, number) != expected for number, expected in enumerate(seen))
    except (ImssaError, OSError, RuntimeError, ValueError, KeyError):
        return False


def replay(bars: Bars, folder: Path) -> None:
    """A long mixed script, recorded and replayed."""
    path = folder / "replay.h5"
    count = bars.size(5000, quick=500, smoke=20)
    with record(path, [Instrument()], {}) as (array,), array:
        seen = [step(array, number) for number in range(count)]
        device = array.time
    start = time.perf_counter()
    with open_run(path) as run:
        (again,) = run.arrays()
        same = [step(again, number) for number in range(count)] == seen and again.time == device
    seconds = time.perf_counter() - start
    bars.check("a mixed script replays byte for byte", float(same), "==", 1, f"{count / seconds:.0f} calls/s")
    with open_run(path) as run:
        data = run.read_mvm
        good = data["current"].attrs["units"] == "A" and "row" in data.coords
    import xarray

    with xarray.open_dataset(path, group="read_conductances", engine="h5netcdf") as plain:
        good = good and plain["value"].dims == ("read_call", "row", "col") and "read_call" in plain.coords
        good = good and all("units" in plain[name].attrs for name in plain.data_vars)
    bars.check("opens in xarray with coordinates and units", float(good), "==", 1)
