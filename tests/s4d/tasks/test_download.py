"""Downloads from a server on this machine, and the command `imssa data`."""

import gzip
import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imssa_lab.cli.models.data import data as command
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import data_sets
from imssa_lab.s4d.tasks.data_sets import DATA_SETS, Archive, DataSet, check
from imssa_lab.s4d.tasks.download import RECORD, download

FSDD = Path(__file__).parents[4] / "shared" / "data"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of what it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder
        http.shutdown()
        thread.join()


def contents(folder: Path) -> dict[str, str]:
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    if not found:
        raise DataError("nothing there")
    return found


@pytest.fixture
def toy(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A data set of a zip without digest and a gz with one; where it is served, where it goes."""
    address, folder = server
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("top-1/recordings/x.wav", "sound")
        archive.writestr("top-1/README.md", "not wanted")
        archive.writestr("top-1/deep/recordings/y.wav", "sound from elsewhere")
    (folder / "b.h5.gz").write_bytes(gzip.compress(b"spikes"))
    digest = hashlib.md5((folder / "b.h5.gz").read_bytes()).hexdigest()
    archives = Archive(f"{address}/a.zip", None), Archive(f"{address}/b.h5.gz", f"md5:{digest}")
    toy_set = DataSet(archives, "free", contents, members="recordings/*.wav")
    monkeypatch.setitem(DATA_SETS, "toy", toy_set)
    return folder, folder.parent / "data"


def test_what_is_fetched_is_unpacked_and_told(toy: tuple[Path, Path]) -> None:
    _, root = toy
    told: list[tuple[str, int, int]] = []
    news = download("toy", root, progress=lambda *call: told.append(call))
    assert contents(root / "toy") == {"recordings/x.wav": "sound", "b.h5": "spikes"}
    assert not (root / "toy.part").exists()
    assert "states no digest" in news[0]
    assert "verified by its published md5" in news[1]
    assert {name for name, _, _ in told} == {"a.zip", "b.h5.gz"}
    assert all(0 < done <= total for _, done, total in told)
    assert check("toy", root)["b.h5"] == "spikes"
    with pytest.raises(DataError, match="exists; look at it"):
        download("toy", root)


def test_a_digest_is_recorded_at_first_and_holds_ever_after(toy: tuple[Path, Path]) -> None:
    served, root = toy
    download("toy", root)
    recorded = json.loads((root / RECORD).read_text())
    expected = hashlib.sha256((served / "a.zip").read_bytes()).hexdigest()
    assert list(recorded.values()) == [f"sha256:{expected}"]
    (root / "toy").rename(root / "elsewhere")
    assert "the same as when first fetched" in download("toy", root)[0]
    (root / "toy").rename(root / "again")
    with zipfile.ZipFile(served / "a.zip", "a") as archive:
        archive.writestr("top-1/recordings/z.wav", "changed")
    with pytest.raises(DataError, match=r"a.zip: .*hash"):
        download("toy", root)
    assert not (root / "toy").exists()


def test_what_is_not_as_published_is_refused(toy: tuple[Path, Path]) -> None:
    served, root = toy
    (served / "b.h5.gz").write_bytes(gzip.compress(b"other spikes"))
    with pytest.raises(DataError, match=r"b.h5.gz: .*hash"):
        download("toy", root)
    (served / "b.h5.gz").unlink()
    with pytest.raises(DataError, match=r"b.h5.gz: .*404"):
        download("toy", root)
    assert not (root / "toy").exists()


def test_archives_that_cannot_be_unpacked(toy: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    served, root = toy
    (served / "a.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"a.zip: cannot be unpacked"):
        download("toy", root)


def test_published_digests_have_the_form_that_is_checked() -> None:
    for data_set in DATA_SETS.values():
        for archive in data_set.archives:
            assert archive.url.startswith("https://")
            kind, _, digits = (archive.digest or "md5:" + "0" * 32).partition(":")
            assert len(digits) == {"md5": 32, "sha256": 64}[kind]
            int(digits, 16)
    with pytest.raises(ConfigError, match=r"'timit'.*fsdd, shd"):
        download("timit")


@pytest.mark.optional_data
@pytest.mark.skipif(not (FSDD / "fsdd").is_dir(), reason=f"no recordings of the FSDD in {FSDD}")
def test_the_recordings_of_the_named_commit_are_known(tmp_path: Path) -> None:
    facts = check("fsdd", FSDD)
    assert facts["recordings"] == "3000 by 6 speakers"
    assert facts["train, validation, test"] == "2400, 300, 300"
    assert facts[f"those of commit {data_sets.FSDD_COMMIT}"] == "yes"
    for path in sorted((FSDD / "fsdd" / "recordings").glob("0_*"))[:20]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    digest = data_sets.recordings_digest(tmp_path)
    (tmp_path / path.name).write_bytes(b"changed")
    assert data_sets.recordings_digest(tmp_path) != digest


def test_the_command(toy: tuple[Path, Path]) -> None:
    _, root = toy
    run = CliRunner().invoke
    listed = run(command, ["list", "--root", str(root)], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    assert all(word in listed.output for word in ("fsdd-order", "speech-commands", "CC BY-SA 4.0", "toy"))
    fetched = run(command, ["download", "toy", "--root", str(root)], env={"COLUMNS": "200"})
    assert fetched.exit_code == 0, fetched.output
    assert "states no digest" in fetched.output
    assert "spikes" in run(command, ["check", "toy", "--root", str(root)]).output
    missing = run(command, ["check", "shd", "--root", str(root)])
    assert isinstance(missing.exception, DataError)
    assert "imssa data download shd" in str(missing.exception)
