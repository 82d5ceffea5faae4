"""Where the data of the tasks lie."""

from __future__ import annotations

import os
from pathlib import Path

from imssa_lab.contract.errors import ConfigError, DataError

VARIABLE = "IMSSA_DATA"
"""Environment variable with the folder that holds fsdd/, shd/, speech_commands/ and mnist/."""


def data_root() -> Path:
    """The folder named by IMSSA_DATA, or the user's cache folder; it need not exist.

    Raises:
        ConfigError: IMSSA_DATA is unset and pooch, which knows the cache folder, is not installed.
    """
    if folder := os.environ.get(VARIABLE):
        return Path(folder)
    try:
        import pooch
    except ImportError as error:
        raise ConfigError(f"set {VARIABLE} to the folder with the data, or pip install 'imssa-lab[train]'") from error
    return Path(pooch.os_cache("imssa-lab"))


def data_folder(name: str, root: Path | str | None = None) -> Path:
    """The folder of one data set.

    Args:
        name: such as "fsdd".
        root: folder to look in instead of `data_root()`.

    Raises:
        ConfigError: as for `data_root`.
        DataError: the folder is not there; the message says what to do.
    """
    folder = Path(root) if root is not None else data_root()
    if not (folder / name).is_dir():
        raise DataError(
            f"{folder / name}: no such folder; set {VARIABLE} to the folder that holds {name}/, "
            f"or fetch the data with: imssa data download {name}"
        )
    return folder / name
