"""The Spiking Heidelberg Digits, from their HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks.input_scaling import unit_deviation
from imssa_lab.s4d.tasks.sources import data_folder
from imssa_lab.s4d.tasks.subset import chosen_classes, set_aside
from imssa_lab.s4d.tasks.task import Augmentation, Inputs, NullControl, Split, Task

LICENCE = (
    "Spiking Heidelberg Digits, B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, IEEE TNNLS 33:2744 (2022), "
    "zenkelab.org/datasets, CC BY 4.0"
)
FILES = ("shd_train.h5", "shd_test.h5")
CHANNELS = 700
"""Of the cochlea that made the data."""
CLASSES = tuple(range(20))
"""0-9 are the English digits, 10-19 the German ones."""
_NAMES = tuple(f"{digit} {language}" for language in ("English", "German") for digit in range(10))


@dataclass(frozen=True)
class Recording(FrozenArrays):
    """One file, as it is.

    Attributes:
        times: per recording the spike times, s; units: per recording the channels, 0 to 699.
        labels: (n,) class 0 to 19; speakers: (n,).
    """

    times: list[NDArray[Any]]
    units: list[NDArray[Any]]
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64]


def shd(
    seed: int,
    classes: Sequence[int] = CLASSES,
    steps: int = 100,
    channels: int = 70,
    seconds: float = 1.4,
    validation: float = 0.1,
    data: Path | str | None = None,
) -> Task:
    """One of some spoken digits as spikes, counted per step and group of neighbouring channels.

    Args:
        seed: of what is set aside for validation; the test file is the test split, as its authors have it.
        classes: which to distinguish, such as (0, 1); 0-9 are English, 10-19 German.
        steps: of a sequence; channels: inputs, a divisor of 700.
        seconds: length of a sequence; later spikes are left out.
        validation: share of the training file.
        data: folder that holds shd/, or the two files themselves; None for the one `data_root` finds.

    Raises:
        ConfigError: a class, size or share that cannot be.
        DataError: a file is missing or not in the published layout, or has none of a class.
    """
    numbers = chosen_classes("shd", classes, CLASSES)
    if channels < 1 or CHANNELS % channels:
        raise ConfigError(f"shd: {channels} channels; needed is a divisor of {CHANNELS}, such as 70 or 28")
    if steps < 1 or not seconds > 0:
        raise ConfigError(f"shd: {steps} steps of {seconds:g} s in all; both must be above 0")
    itself = data is not None and (Path(data) / FILES[0]).is_file()
    folder = Path(data) if data is not None and itself else data_folder("shd", data)
    whole, test = (
        _binned(read_recording(folder / name), folder / name, numbers, steps, channels, seconds) for name in FILES
    )
    kept, aside = set_aside("shd", whole[1], validation, np.random.default_rng(seed))
    train, held, test = unit_deviation([(whole[0][kept], whole[1][kept]), (whole[0][aside], whole[1][aside]), test])
    return Task(
        "shd",
        train,
        held,
        test,
        tuple(_NAMES[number] for number in numbers),
        f"spikes counted in {steps} steps over {seconds:g} s (later ones left out) and {channels} groups of "
        f"{CHANNELS // channels} channels, divided by the training set's deviation",
        LICENCE,
        augmentation=Augmentation(shift_inputs=1),
        step_rate=steps / seconds,
        null_control=NullControl("same net with C frozen at zero, trained on its own"),
    )


def read_recording(path: Path) -> Recording:
    """What one file holds.

    Raises:
        DataError: it is missing, no HDF5, or not laid out as published: spikes/times, spikes/units, labels,
            extra/speaker.
    """
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file; fetch the data with: imssa data download shd")
    try:
        with h5py.File(path, "r") as file:
            times, units = list(file["spikes/times"][:]), list(file["spikes/units"][:])
            labels, speakers = (file[name][:].astype(np.int64) for name in ("labels", "extra/speaker"))
    except KeyError as error:
        raise DataError(f"{path}: not laid out as the Spiking Heidelberg Digits are ({error.args[0]})") from error
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error}); fetch it again") from error
    if not len(times) == len(units) == len(labels) == len(speakers):
        raise DataError(
            f"{path}: {len(times)} lists of times, {len(units)} of units, {len(labels)} labels and {len(speakers)} "
            "speakers must be as many; fetch it again"
        )
    for index, (when, where) in enumerate(zip(times, units, strict=True)):
        if len(when) != len(where):
            raise DataError(f"{path}: recording {index} has {len(when)} spike times for {len(where)} units")
        if len(where) and (int(where.max()) >= CHANNELS or not np.isfinite(when).all() or when.min() < 0):
            raise DataError(
                f"{path}: recording {index} has a unit beyond {CHANNELS - 1}, or a time that is negative or no number"
            )
    return Recording(times, units, labels, speakers)


def _binned(
    recording: Recording, path: Path, numbers: tuple[int, ...], steps: int, channels: int, seconds: float
) -> Split:
    """Counts (n, steps, channels) and class positions of the recordings whose label is asked for."""
    if missing := [number for number in numbers if number not in recording.labels]:
        raise DataError(f"{path}: no recording of class {missing[0]} ({_NAMES[missing[0]]})")
    chosen = np.flatnonzero(np.isin(recording.labels, numbers))
    counts: Inputs = np.zeros((len(chosen), steps, channels), dtype=np.float32)
    for row, index in zip(counts, chosen, strict=True):
        # Times are half precision in the files; as such a product with steps would lose the step.
        step = np.floor(recording.times[index].astype(np.float64) * (steps / seconds)).astype(np.int64)
        group = recording.units[index].astype(np.int64) * channels // CHANNELS
        inside = step < steps
        np.add.at(row, (step[inside], group[inside]), 1.0)
    position = {number: place for place, number in enumerate(numbers)}
    return counts, np.array([position[int(label)] for label in recording.labels[chosen]], dtype=np.int64)
