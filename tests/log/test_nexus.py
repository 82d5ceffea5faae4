"""The view for viewers of NeXus: its rules are kept, its pictures are what the calls gave."""

import logging
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

from imssa_lab.log import open_run, record
from imssa_lab.log.care.publish import publish
from imssa_lab.log.care.repair import repair
from imssa_lab.log.care.snapshot import pack, snapshot
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.nexus import Overview, stored_overview
from imssa_lab.log.read import overview as pictures
from imssa_lab.log.schema import TABLES
from imssa_lab.log.write import run_log
from tests.log.conftest import Chip
from trials.record.nexus_rules import nexus_faults, punx, punx_errors

SHAPE = (5, 4)
UPPER = np.zeros(SHAPE, dtype=np.bool_)
UPPER[:2] = True


def make(path: Path, copy_at_the_end: Path | None = None, bits: int | None = 14) -> dict[str, Any]:
    """A run on two chips, and what its calls gave; a copy as a kill would leave the file."""
    seen: dict[str, Any] = {}
    with record(path, [Chip(1, bits=bits), Chip(2, bits=bits)], {"command": "secret"}) as (one, two):
        seen["whole"] = one.read_conductances(averages=3)
        seen["upper"] = one.read_conductances(UPPER)
        seen["other"] = two.read_conductances(UPPER)
        seen["products"] = one.read_mvm(np.full((6, 5), 0.1))
        seen["later"] = one.read_mvm(np.full(5, 0.2))
        seen["time"] = one.time
        if copy_at_the_end is not None:
            shutil.copy(path, copy_at_the_end)
    return seen


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nexus") / "run.h5"
    make(path)
    return path


@pytest.fixture
def made(_made: Path, tmp_path: Path) -> Path:
    """A copy to spoil of a finished run."""
    return Path(shutil.copy(_made, tmp_path / "run.h5"))


def check_pictures(path: Path, seen: dict[str, Any]) -> None:
    """What plain h5py finds where the default leads is what the calls gave, in SI units."""
    with h5py.File(path, "r") as file:
        entry = file[file.attrs["default"]]
        data = entry[bytes(entry.attrs["default"]).rstrip(b"\0").decode()]
        cells = data[data.attrs["signal"]]
        assert cells.attrs["units"] == b"S"
        assert np.allclose(cells[0][UPPER], seen["upper"][UPPER], rtol=1e-6)
        assert np.allclose(cells[0][~UPPER], seen["whole"][~UPPER], rtol=1e-6)
        assert np.allclose(cells[1], seen["other"], rtol=1e-6, equal_nan=True)
        assert np.isnan(cells[1][~UPPER]).all()
        currents = entry["current_0"]
        assert (currents["current"].attrs["units"], currents["time"].attrs["units"]) == (b"A", b"s")
        expected = np.concatenate([seen["products"], np.atleast_2d(seen["later"])]).T
        assert np.allclose(currents["current"], expected, rtol=1e-6, atol=0)
        assert currents["time"][-1] == seen["time"]
        assert entry["current_1/current"].shape == (4, 0)
        assert entry["read_mvm/value"] == file["read_mvm/value"]
    assert nexus_faults(path) == []
    assert verify(path).findings == []


@pytest.mark.parametrize("bits", [14, None])
@pytest.mark.parametrize("positioned", [True, False])
def test_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positioned: bool, bits: int | None) -> None:
    monkeypatch.setattr(run_log, "POSITIONED", positioned and run_log.POSITIONED)
    check_pictures(tmp_path / "run.h5", make(tmp_path / "run.h5", bits=bits))


def test_copies(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    seen = make(path, tmp_path / "cut.h5")
    snapshot(path, tmp_path / "plain.h5")
    snapshot(path, tmp_path / "packed.h5", packed=True)
    publish(path, tmp_path / "published.h5")
    snapshot(tmp_path / "cut.h5", tmp_path / "of a kill.h5")
    repair(tmp_path / "cut.h5")
    pack(path)
    for copy in tmp_path.iterdir():
        check_pictures(copy, seen)
    assert b"secret" not in (tmp_path / "published.h5").read_bytes()


def test_punx(finished: tuple[Path, list[Any]]) -> None:
    if punx() is None:
        pytest.skip("punx is not installed")
    assert punx_errors(finished[0]) == []
    with h5py.File(finished[0], "r+") as file:  # null control
        file["entry"].attrs["default"] = "nothing"
        file["read_mvm"].attrs["signal"] = "nothing"
    assert punx_errors(finished[0])


def test_a_run_that_was_killed_has_empty_pictures_and_is_good(tmp_path: Path) -> None:
    make(tmp_path / "run.h5", tmp_path / "cut.h5")
    assert verify(tmp_path / "cut.h5").findings == []
    with open_run(tmp_path / "cut.h5") as run:
        assert stored_overview(run.file).empty


def test_a_kill_while_the_pictures_are_written_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies taken before, in the middle and after are what a kill would leave."""
    path, cuts = tmp_path / "run.h5", [tmp_path / f"cut{number}.h5" for number in range(3)]
    real_fill, real_write = run_log.fill_overview, pictures.write_overview

    def fill(file: h5py.File, *more: Any) -> None:
        shutil.copy(path, cuts[0])
        real_fill(file, *more)
        shutil.copy(path, cuts[2])

    def write(file: h5py.File, view: Overview) -> None:
        real_write(file, view._replace(currents=view.currents[:0]))
        file.flush()
        shutil.copy(path, cuts[1])
        real_write(file, view)

    with monkeypatch.context() as patched:
        patched.setattr(run_log, "fill_overview", fill)
        patched.setattr(pictures, "write_overview", write)
        seen = make(path)
    for cut in cuts:
        assert verify(cut).findings == []
        assert repair(cut).needed
        check_pictures(cut, seen)


@pytest.mark.parametrize("what", ["conductance", "link", "start_time", "removed"])
def test_verify_holds_the_view_against_the_record(made: Path, what: str) -> None:
    with h5py.File(made, "r+") as file:
        entry = file["entry"]
        if what == "conductance":
            entry["conductance/conductance"][0, 4, 3] *= 1.0001
        elif what == "start_time":
            entry["start_time"][()] = b"2020-01-01T00:00:00+00:00"
        else:
            del entry["read_mvm"]
            if what == "link":
                entry["read_mvm"] = h5py.SoftLink("/program")
    found = verify(made)
    assert not found.good
    assert all(finding.place.startswith("/entry") for finding in found.findings)


def test_the_picture_that_is_shown_first_has_something_to_show(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [Chip(1), Chip(2)], {}) as (_, two):
        two.read_mvm(np.full(5, 0.1))
    with h5py.File(tmp_path / "run.h5", "r") as file:
        assert bytes(file["entry"].attrs["default"]).rstrip(b"\0") == b"current_1"
    assert nexus_faults(tmp_path / "run.h5") == []
    assert verify(tmp_path / "run.h5").findings == []


def test_a_long_run_shows_a_choice_of_its_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "most_points", lambda arrays, cols: 7)
    with record(tmp_path / "run.h5", [Chip(1)], {}) as (one,):
        given = [one.read_mvm(np.full(5, 0.1)) for _ in range(30)]
    with h5py.File(tmp_path / "run.h5", "r") as file:
        shown = file["entry/current_0/current"][...]
    assert np.allclose(shown.T, given[::5], rtol=1e-6, atol=0)


def test_pictures_that_cannot_be_made_cost_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no picture today")

    with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
        patched.setattr(pictures, "overview", fails)
        make(tmp_path / "run.h5")
    assert "no picture today" in caplog.text
    found = verify(tmp_path / "run.h5")
    assert found.good
    assert [finding.place for finding in found.findings] == ["/entry"]


def test_xarray_reads_the_pictures_with_their_axes(made: Path) -> None:
    with xarray.open_dataset(made, group="entry/conductance", engine="h5netcdf") as data:
        assert data["conductance"].dims == ("array", "row", "col")
        assert data["conductance"].attrs["units"] == "S"
    with xarray.open_dataset(made, group="entry/current_0", engine="h5netcdf") as data:
        assert data["current"].dims == ("col", "time")


def test_every_picture_says_from_which_calls_it_is_made(made: Path) -> None:
    sources = {
        "conductance/conductance": b"/read_conductances",
        "current_0/current": b"/read_mvm",
        "current_1/current": b"/read_mvm",
    }
    with h5py.File(made) as file:
        for name, source in sources.items():
            meant = file[f"entry/{name}"].attrs["meaning"]
            assert meant.startswith(b"derived from %b when the run ended" % source), name


def test_every_plot_names_its_axes(made: Path) -> None:
    """A viewer that knows NeXus alone has them from nowhere else."""
    found = {}
    with h5py.File(made, "r") as file:
        for path, group in [(path, file[path]) for path in ("entry/conductance", "entry/current_0", *TABLES)]:
            if group.attrs.get("NX_class") == b"NXdata" and "byte" not in group:
                found[path] = [name.decode() for name in group.attrs["axes"]]
                lengths = tuple(len(group[name]) for name in found[path])
                assert lengths == group[group.attrs["signal"]].shape, path
    assert found["entry/conductance"] == ["array", "row", "col"]
    assert found["entry/current_0"] == ["col", "time"]
    assert found["read_conductances"][1:] == ["row", "col"]


@pytest.mark.parametrize(
    ("path", "attribute", "value"),
    [
        ("/", "default", b"read_mvm"),
        ("entry", "default", b"nothing"),
        ("entry", "NX_class", b"NXdata"),
        ("read_mvm", "signal", b"nothing"),
        ("entry/conductance", "axes", [b"row", b"col"]),
        ("entry/conductance", "axes", [b"array", b"row", b"row"]),
        ("entry/conductance/conductance", "units", b"siemens each"),
        ("arrays", "NX_class", b"NXdata"),
    ],
)
def test_the_rules_are_seen_to_be_broken(made: Path, path: str, attribute: str, value: Any) -> None:
    """Null control of the checker itself."""
    with h5py.File(made, "r+") as file:
        file[path].attrs[attribute] = value
    assert nexus_faults(made)
