"""Images read as sequences, from IDX files as those of MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks.input_scaling import standardised_as_one
from imssa_lab.s4d.tasks.sources import data_folder
from imssa_lab.s4d.tasks.subset import set_aside
from imssa_lab.s4d.tasks.task import Augmentation, NullControl, Split, Task

LICENCE = (
    "MNIST, Y. LeCun, C. Cortes and C. Burges, made of NIST special databases 1 and 3; for other images, the licence "
    "of your own copy"
)
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_UNSIGNED_BYTE = 8


def smnist(
    seed: int, by: Literal["row", "pixel"] = "row", validation: float = 0.1, data: Path | str | None = None
) -> Task:
    """Name the image after reading it row by row, or pixel by pixel; any set of IDX files in mnist/ will do.

    Args:
        seed: of what is set aside for validation; the t10k files are the test split.
        by: "row" gives as many steps as rows, of a row each; "pixel" gives one pixel a step.
        validation: share of the training images.
        data: folder that holds mnist/; None for the one `data_root` finds.

    Raises:
        ConfigError: `by` or the share cannot be.
        DataError: a file is missing, damaged, or no IDX file of bytes; images and labels do not fit each other.
    """
    if by not in ("row", "pixel"):
        raise ConfigError(f"smnist: by {by!r}; choose row or pixel")
    folder = data_folder("mnist", data)
    whole, test = (_images(folder, *FILES[start : start + 2]) for start in (0, 2))
    if whole[0].shape[1:] != test[0].shape[1:]:
        raise DataError(f"{folder}: training images are {whole[0].shape[1:]}, test images {test[0].shape[1:]}")
    labels = np.unique(whole[1])
    if len(labels) < 2 or not np.isin(test[1], labels).all():
        raise DataError(f"{folder / FILES[1]}: the training images need two classes or more, and all of the test's")
    kept, aside = set_aside("smnist", whole[1], validation, np.random.default_rng(seed))
    parts = [(whole[0][kept], whole[1][kept]), (whole[0][aside], whole[1][aside]), test]
    sequences = [
        (images if by == "row" else images.reshape(len(images), -1, 1), np.searchsorted(labels, numbers))
        for images, numbers in parts
    ]
    train, held, test = standardised_as_one(sequences)
    size = "x".join(map(str, whole[0].shape[1:]))
    return Task(
        "smnist",
        train,
        held,
        test,
        tuple(str(label) for label in labels),
        f"images of {size} pixels, one {by} a step, standardised by the training set",
        LICENCE,
        augmentation=Augmentation(shift_inputs=1 if by == "row" else 0),
        null_control=NullControl("same net with C frozen at zero, trained on its own"),
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, in the shape that its header says; the file may be gzipped.

    Raises:
        DataError: the file is missing, damaged, of another kind, or longer or shorter than its header says.
    """
    found = next((name for name in (path, path.with_name(path.name + ".gz")) if name.is_file()), None)
    if found is None:
        raise DataError(f"{path}: no such file, nor with .gz; fetch the data with: imssa data download mnist")
    raw = found.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{found}: damaged gzip file ({error}); fetch it again") from error
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise DataError(f"{found}: not an IDX file of unsigned bytes; fetch it again")
    header = 4 + 4 * raw[3]
    shape = tuple(np.frombuffer(raw[4:header], dtype=">u4").tolist()) if len(raw) >= header else ()
    if len(shape) != raw[3] or len(raw) - header != math.prod(shape):
        raise DataError(f"{found}: {len(raw)} bytes do not hold what its header says; fetch it again")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def _images(folder: Path, images_name: str, labels_name: str) -> Split:
    images, labels = read_idx(folder / images_name), read_idx(folder / labels_name)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not images.size:
        raise DataError(
            f"{folder / images_name}: images {images.shape} and labels {labels.shape} do not fit; needed are "
            "(n, rows, columns) and (n,)"
        )
    return images.astype(np.float32), labels.astype(np.int64)
