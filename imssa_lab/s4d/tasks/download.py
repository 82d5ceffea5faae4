"""Fetching data sets, for those with a network."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks.data_sets import DATA_SETS, Archive, DataSet, is_published_fsdd, known
from imssa_lab.s4d.tasks.sources import data_root

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes done, bytes in all)."""
RECORD = "downloads.json"
"""Digests of archives whose publisher states none, as first fetched; in the data root."""


def download(name: str, root: Path | str | None = None, *, progress: Progress | None = None) -> list[str]:
    """Fetch a data set into its folder, which appears only when all of it is there.

    Args:
        name: such as "fsdd".
        root: where to; None for the folder `data_root` finds.
        progress: called with (archive, bytes done, bytes).

    Returns:
        What the user should know: how every archive was verified.

    Raises:
        ConfigError: no such data set, or pooch is missing.
        DataError: the folder exists already, the network failed, or what came is not what was promised.
    """
    data_set = DATA_SETS[known(name)]
    place = Path(root) if root is not None else data_root()
    folder, parts = place / name, place / f"{name}.part"
    if folder.exists():
        raise DataError(f"{folder} exists; look at it with: imssa data check {name}, or remove it to fetch it again")
    parts.mkdir(parents=True, exist_ok=True)
    news = [_fetch(archive, parts, place / RECORD, progress) for archive in data_set.archives]
    whole = parts / name
    if whole.exists():
        shutil.rmtree(whole)
    whole.mkdir()
    for archive in data_set.archives:
        _unpack(parts / archive.name, data_set, whole)
    data_set.check(whole)
    if name == "fsdd" and not is_published_fsdd(whole):
        raise DataError(
            f"{whole}: the recordings are not those that the address promises; report this, use no such copy"
        )
    whole.rename(folder)
    shutil.rmtree(parts)
    return news


class _Progress:
    """What pooch wants of a progress bar."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total = 0
        self._name, self._report, self._done = name, progress, 0

    def update(self, amount: int) -> None:
        """So many more bytes."""
        self._done = min(self._done + amount, self.total)  # pooch counts the last chunk as a whole one
        self._report(self._name, self._done, self.total)

    def reset(self) -> None:
        """Count from zero."""
        self._done = 0

    def close(self) -> None:
        """Nothing is open."""


def _fetch(archive: Archive, parts: Path, record: Path, progress: Progress | None) -> str:
    """Fetch one archive, verified by its published digest or by the one recorded when it was first fetched."""
    try:
        import pooch
    except ImportError as error:
        raise ConfigError("downloading needs pooch: pip install 'imssa-lab[train]'") from error

    recorded: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    expected = archive.digest or recorded.get(archive.url)
    bar = pooch.HTTPDownloader(progressbar=_Progress(archive.name, progress) if progress else False)
    try:
        pooch.retrieve(archive.url, expected, fname=archive.name, path=parts, downloader=bar)
    except (OSError, ValueError) as error:  # every error of a connection is an OSError
        raise DataError(
            f"{archive.url}: {error}; try again, or fetch it elsewhere and set IMSSA_DATA to the folder above it"
        ) from error
    if archive.digest:
        return f"{archive.name}: verified by its published {archive.digest.partition(':')[0]}"
    if expected:
        return f"{archive.name}: the same as when first fetched ({expected})"
    found = f"sha256:{pooch.file_hash(str(parts / archive.name))}"
    record.write_text(json.dumps({**recorded, archive.url: found}, indent=1) + "\n", encoding="utf-8")
    return f"{archive.name}: its publisher states no digest; {found} is recorded in {record} for the next time"


def _unpack(path: Path, data_set: DataSet, into: Path) -> None:
    """Put the wanted files of an archive into the folder, without the archive's own top folder."""
    try:
        if path.suffix == ".zip":
            wanted = PurePosixPath(data_set.members)
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    inside = PurePosixPath(*PurePosixPath(name).parts[1:])
                    if len(inside.parts) == len(wanted.parts) and inside.match(data_set.members):
                        (into / inside).parent.mkdir(exist_ok=True)
                        (into / inside).write_bytes(archive.read(name))
        elif path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                archive.extractall(into, filter="data")
        else:
            with gzip.open(path) as packed, (into / path.stem).open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); remove it and fetch it again") from error
