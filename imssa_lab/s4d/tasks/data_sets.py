"""The data sets behind the tasks: where they come from, and whether a copy is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import fsdd, fsdd_clips, shd, smnist, speech_commands
from imssa_lab.s4d.tasks.sources import data_folder

Facts = dict[str, str]
_FSDD_RECORDINGS = "44c8e2002eef7b944445e96603c78e68ce69f0a0156657cc7c92e6ed7828925f"


@dataclass(frozen=True)
class Archive:
    """A file to fetch.

    Attributes:
        url: where it is; digest: "sha256:..." or "md5:..." as published, None where its publisher states none.
    """

    url: str
    digest: str | None

    @property
    def name(self) -> str:
        """File name, the last part of the address."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        archives: files to fetch; licence: with its source.
        check: reads the folder and returns what is in it, or raises DataError.
        members: which files of a zip archive are kept, as a glob below the archive's own top folder.
    """

    archives: tuple[Archive, ...]
    licence: str
    check: Callable[[Path], Facts]
    members: str = "*"


def check(name: str, root: Path | str | None = None) -> Facts:
    """What a copy of a data set holds, in words.

    Args:
        name: such as "fsdd".
        root: folder to look in; None for the one `data_root` finds.

    Raises:
        ConfigError: no such data set.
        DataError: the folder is missing, or something in it is missing or damaged.
    """
    folder = data_folder(known(name), root)
    return {"folder": str(folder), **DATA_SETS[name].check(folder)}


def known(name: str) -> str:
    """The name again.

    Raises:
        ConfigError: no such data set.
    """
    if name not in DATA_SETS:
        raise ConfigError(f"data {name!r}: no such data set; choose one of {', '.join(DATA_SETS)}")
    return name


def recordings_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the wav files in a folder, whatever the order of the file system."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.wav")):
        whole.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.name}\n".encode())
    return whole.hexdigest()


def is_published_fsdd(folder: Path) -> bool:
    """Whether the folder fsdd/ holds the recordings of the commit that the accuracies of our tasks refer to."""
    return recordings_digest(folder / "recordings") == _FSDD_RECORDINGS


def _check_fsdd(folder: Path) -> Facts:
    clips = fsdd_clips.read_clips(folder.parent)
    counts = [len(part) for part in clips.parts()]
    return {
        "recordings": f"{len(clips.samples)} by {len(np.unique(clips.speakers))} speakers",
        "train, validation, test": ", ".join(map(str, counts)),
        f"those of commit {FSDD_COMMIT}": "yes" if is_published_fsdd(folder) else "no; accuracies may differ",
    }


def _check_shd(folder: Path) -> Facts:
    train, test = (shd.read_recording(folder / name) for name in shd.FILES)
    return {
        "train, test": f"{len(train.labels)}, {len(test.labels)} (published: 8156, 2264)",
        "classes": f"{len(np.unique(train.labels))}, {len(np.unique(test.labels))} (published: 20, 20)",
        "speakers only in test": str(len(np.setdiff1d(test.speakers, train.speakers))),
    }


def _check_speech_commands(folder: Path) -> Facts:
    words = speech_commands.present_words(folder)
    recordings = {f"{word}/{path.name}" for word in words for path in (folder / word).glob("*.wav")}
    validation, test = (speech_commands.read_list(folder / name) for name in speech_commands.LISTS)
    if both := sorted(validation & test):
        raise DataError(f"{folder}: {both[0]} is in both lists; fetch the lists again")
    if missing := sorted((validation | test) - recordings):
        raise DataError(
            f"{folder / missing[0]}: named by a list, but not there ({len(missing)} such); fetch it again"
        )
    counts = (len(recordings) - len(validation) - len(test), len(validation), len(test))
    return {"words": str(len(words)), "train, validation, test": ", ".join(map(str, counts))}


def _check_mnist(folder: Path) -> Facts:
    train, _, test, _ = (smnist.read_idx(folder / name) for name in smnist.FILES)
    return {"train, test": f"{len(train)}, {len(test)}", "pixels": "x".join(map(str, train.shape[1:]))}


FSDD_COMMIT = "26eb9aa"
_MNIST_HOST = "https://ossci-datasets.s3.amazonaws.com/mnist"
DATA_SETS: dict[str, DataSet] = {
    "fsdd": DataSet(
        # The host packs this archive on request, so only its contents have a reliable digest.
        (Archive(f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{FSDD_COMMIT}.zip", None),),
        fsdd.LICENCE,
        _check_fsdd,
        members="recordings/*.wav",
    ),
    "shd": DataSet(
        (
            Archive("https://zenkelab.org/datasets/shd_train.h5.gz", "md5:d47c9825dee33347913e8ce0f2be08b0"),
            Archive("https://zenkelab.org/datasets/shd_test.h5.gz", "md5:3062a80ec0c5719404d5b02e166543b1"),
        ),
        shd.LICENCE,
        _check_shd,
    ),
    "speech_commands": DataSet(
        (
            Archive(
                "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
        ),
        speech_commands.LICENCE,
        _check_speech_commands,
    ),
    "mnist": DataSet(
        tuple(
            Archive(f"{_MNIST_HOST}/{name}.gz", f"md5:{digest}")
            for name, digest in zip(
                smnist.FILES,
                (
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    "d53e105ee54ea40749a09fcbcd1e9432",
                    "9fb629c4189551a2d022fa330f9573f3",
                    "ec29112dd5afa0611ce80d1b7f02629c",
                ),
                strict=True,
            )
        ),
        smnist.LICENCE,
        _check_mnist,
    ),
}
