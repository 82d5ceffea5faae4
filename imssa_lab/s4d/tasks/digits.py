"""Handwritten digits, embedded: the task that needs no download."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.tasks.task import Augmentation, NullControl, Split, Task

_IMAGE_SHARES = (0.7, 0.1, 0.2)


def digits_first(seed: int, pairs_train: int = 4000, pairs_validation: int = 500, pairs_test: int = 1000) -> Task:
    """Two handwritten digits of different classes, one after the other, row by row; name the first.

    1,797 images of 8x8 pixels (Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as shipped
    with scikit-learn) are split into train, validation and test, class by class, before they are paired; a pair is
    16 steps of 8 pixels, so whatever names it must carry the first image past the second.

    Args:
        seed: of split and pairing, so that another seed is also another test set.
        pairs_train, pairs_validation, pairs_test: how many pairs of each split, drawn with replacement.

    Raises:
        ConfigError: scikit-learn is not installed, or a split would be empty.
    """
    if min(pairs_train, pairs_validation, pairs_test) < 1:
        raise ConfigError(
            f"digits-first: every split needs a pair or more, got {pairs_train}, {pairs_validation} and {pairs_test}"
        )
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError("digits-first needs scikit-learn; install imssa-lab[train]") from error

    rng = np.random.default_rng(seed)
    bunch = load_digits()
    images = (bunch.images / 8.0 - 1.0).astype(np.float32)
    parts = _split_images(bunch.target, rng)
    counts = (pairs_train, pairs_validation, pairs_test)
    pairs = [_pairs(bunch.target[part], count, rng) for part, count in zip(parts, counts, strict=True)]
    train, validation, test = (
        _joined(images[part], bunch.target[part], chosen) for part, chosen in zip(parts, pairs, strict=True)
    )
    return Task(
        "digits-first",
        train,
        validation,
        test,
        tuple(str(digit) for digit in range(10)),
        "two 8x8 images of different digits one after the other, one row a step; pixel / 8 - 1",
        "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, CC BY 4.0, as in scikit-learn",
        augmentation=Augmentation(shift_inputs=1, noise=0.1),
        null_control=NullControl("the same net with C frozen at zero, trained on its own"),
        test_units=pairs[2],
        unit="images",
    )


def _split_images(classes: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Image numbers of the three splits, the same share of each class in all."""
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for digit in np.unique(classes):
        shuffled = rng.permutation(np.flatnonzero(classes == digit))
        edges = np.rint(np.cumsum(_IMAGE_SHARES)[:-1] * len(shuffled)).astype(int)
        for part, share in zip(parts, np.split(shuffled, edges), strict=True):
            part.append(share)
    return [np.concatenate(part) for part in parts]


def _pairs(classes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of a first and a second image of different classes, (count, 2)."""
    first = rng.integers(len(classes), size=count)
    second = rng.integers(len(classes), size=count)
    # Only the second image is drawn again, so that the first digits stay evenly spread.
    while (same := classes[first] == classes[second]).any():
        second[same] = rng.integers(len(classes), size=int(same.sum()))
    return np.stack([first, second], axis=1)


def _joined(images: NDArray[np.float32], classes: NDArray[np.int64], pairs: NDArray[np.int64]) -> Split:
    first, second = pairs.T
    return np.concatenate([images[first], images[second]], axis=1), classes[first].astype(np.int64)
