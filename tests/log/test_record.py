"""Verify, repair, wire, follow, tolerant replay, tables: the promises of the record, each with its null control."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError, ReplayMismatch
from imssa_lab.contract.hal import Pulses
from imssa_lab.contract.operating_system import LOCKS
from imssa_lab.log import Recorded, RunLog, open_replay, open_run, record
from imssa_lab.log.care.catalogue import catalogue
from imssa_lab.log.care.compare import differences
from imssa_lab.log.care.repair import repair
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.checksum import intact, lookup3
from imssa_lab.log.file.chunks import scan
from imssa_lab.log.file.compiled_checksum import with_checksum
from imssa_lab.log.read.exported_files import export
from imssa_lab.log.read.follower import Follower
from imssa_lab.log.read.tables import cells, to_pandas
from imssa_lab.log.replay.replayed_wire import ReplayedWire

from .conftest import Chip, session

Finished = tuple[Path, list[Any]]
ONES = np.ones((5, 4), dtype=np.bool_)
KILLED = """
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("chip", {conftest!r})
chip = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chip)
from imssa_lab.log import RunLog, Recorded
log = RunLog.create({path!r}, [chip.Chip()], {{}})
wire = log.wire("usb")
wire.sent(b"abc", time.time())
wire.flush()
chip.session(Recorded(chip.Chip(), log))
os.kill(os.getpid(), 9)
"""


def killed(path: Path) -> Path:
    code = KILLED.format(conftest=str(Path(__file__).with_name("conftest.py")), path=str(path))
    subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    return path


def flip(path: Path, dataset: str, chunk: int = 0) -> None:
    with h5py.File(path, "r") as file, path.open("rb") as raw:
        place = list(scan(file[dataset], raw.fileno()))[chunk]
    data = bytearray(path.read_bytes())
    data[place.byte_offset + 1] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("size", [1, 2, 3, 32, 33, 34, 4096, 8192, 70_001])
@pytest.mark.parametrize("kind", ["random", "zeros", "ones"])
def test_checksums_are_those_of_hdf5(tmp_path: Path, size: int, kind: str) -> None:
    random = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    data = {"random": random, "zeros": np.zeros(size, np.uint8), "ones": np.full(size, 255, np.uint8)}[kind]
    with h5py.File(tmp_path / "x.h5", "w", libver=("v110", "v110")) as file:
        dataset = file.create_dataset("x", data=data, chunks=(size,), fletcher32=True)
        file.flush()
        stored = dataset.id.read_direct_chunk((0,))[1]
        assert stored == with_checksum(data.tobytes())
        assert intact(stored)
    start = (tmp_path / "x.h5").read_bytes()[:48]
    assert lookup3(start[:44]) == int.from_bytes(start[44:], "little")


def test_a_good_file_verifies(finished: Finished) -> None:
    result = verify(finished[0])
    assert result.findings == []
    assert result.records == 36


@pytest.mark.parametrize(
    "dataset", ["waits/seconds", "pulses/voltage", "read_mvm/value", "read_mvm/seq", "events/text"]
)
def test_verify_names_the_damaged_chunk(finished: Finished, dataset: str) -> None:
    flip(finished[0], dataset)
    result = verify(finished[0])
    assert not result.good
    assert any(f.place == f"/{dataset}" and "does not agree with its checksum" in f.text for f in result.findings)


def test_a_long_attribute_is_checked_too(finished: Finished) -> None:
    data = finished[0].read_bytes()
    assert data.count(b"x" * 90_000) == 1
    at = data.index(b"x" * 90_000)
    finished[0].write_bytes(data[:at] + b"y" + data[at + 1 :])
    assert not verify(finished[0]).good
    with open_run(finished[0]) as run, pytest.raises(LogError, match="sha256"):
        run.arrays()


def test_clocks_that_go_back_are_named(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run.h5", [Chip()], {}) as log:
        for device, wall in ((1.0, 10.0), (2.0, 9.0), (1.5, 11.0)):
            log.append("waits", {"array": 0, "device_time": device, "wall_time": wall, "seconds": 1.0})
    texts = {finding.place: finding for finding in verify(tmp_path / "run.h5").findings}
    assert "record 1" in texts["wall_time"].text
    assert not texts["wall_time"].serious
    assert "record 2" in texts["device_time"].text
    assert texts["device_time"].serious


def test_repair_after_a_kill(tmp_path: Path, finished: Finished) -> None:
    path = killed(tmp_path / "killed.h5")
    with pytest.raises(OSError, match="already open for"):
        h5py.File(path, "r").close()
    done = repair(path)
    assert done.needed
    assert done.verification is not None
    assert done.verification.good
    assert str(done).startswith(f"salvaged to record {done.records - 1}")
    with h5py.File(path, "r") as plain:
        assert plain["waits/seq"].shape == (1,)
        assert plain["wire/data"][:].tobytes() == b"abc"
        assert plain["read_mvm/value"].dims[0].keys()
    with open_run(path) as run:
        assert run.repaired
        assert session(run.arrays()[0]) == finished[1]
    assert not repair(path).needed
    assert sorted(p.name for p in tmp_path.iterdir() if "killed" in p.name) == ["killed.h5"]


def test_repair_takes_back_a_half_written_row_and_nothing_else(tmp_path: Path) -> None:
    path = killed(tmp_path / "killed.h5")
    with open_run(path) as run, path.open("rb") as raw:
        (chunk,) = scan(run.file["waits/seconds"], raw.fileno())
    whole = path.read_bytes()
    for row, mended in ((1, True), (0, False)):  # behind the last record; within it
        data = bytearray(whole)
        data[chunk.byte_offset + 8 * row] ^= 0xFF
        path.write_bytes(data)
        with open_run(path) as run:
            if mended:
                assert run.column("waits", "seconds").tolist() == [0.75]
            else:
                with pytest.raises(LogError, match="damaged"):
                    run.column("waits", "seconds")
    assert not repair(path).verification.good  # type: ignore[union-attr]
    assert (tmp_path / "killed.h5.before-repair").exists()


def test_repair_takes_back_the_number_of_a_record_that_was_written_without_its_checksum(tmp_path: Path) -> None:
    path = killed(tmp_path / "killed.h5")
    with open_run(path) as run, path.open("rb") as raw:
        (chunk,) = scan(run.file["waits/seq"], raw.fileno())
        numbers = run.column("waits", "seq").tolist()
    torn = bytearray(path.read_bytes())
    struct.pack_into("<Q", torn, chunk.byte_offset + 8 * len(numbers), numbers[-1] + 100)
    path.write_bytes(torn)
    result = repair(path)
    assert result.taken_back == [f"/waits/seq, rows {chunk.first} to {chunk.stop - 1}"]
    assert result.verification.good  # type: ignore[union-attr]
    with open_run(path) as run:
        assert run.column("waits", "seq").tolist() == numbers


@pytest.mark.parametrize("name", ["device_time", "done"])
def test_repair_takes_back_what_a_kill_cut_off_when_pulses_were_marked_as_done(tmp_path: Path, name: str) -> None:
    """The value is new and the checksum still that of the row before; a value from nowhere stays damage."""
    path = tmp_path / "killed.h5"
    log = RunLog.create(path, [Chip()], {})
    asked = {
        "array": 0,
        "kind": 0,
        "width": 1e-7,
        **{name: np.zeros(2, dtype=np.uint16) for name in ("row", "col")},
        **{name: np.ones(2) for name in ("voltage", "gate")},
    }
    done = log.append("pulses", {**asked, "device_time": np.nan, "done": 0})
    log.mark_done(done, 0.25)
    under_way = log.append("pulses", {**asked, "device_time": np.nan, "done": 0})
    before = path.read_bytes()
    log.mark_done(under_way, 0.5)
    after = path.read_bytes()
    with open_run(path) as run, path.open("rb") as raw:
        (chunk,) = scan(run.file[f"pulses/{name}"], raw.fileno())
    log.close()
    checksum = slice(chunk.byte_offset + chunk.size - 4, chunk.byte_offset + chunk.size)
    torn = bytearray(after)
    torn[checksum] = before[checksum]
    path.write_bytes(torn)
    with open_run(path) as run:
        np.testing.assert_array_equal(
            run.column("pulses", name), {"device_time": [0.25, np.nan], "done": [1, 0]}[name]
        )
    result = repair(path)
    assert result.taken_back == [f"/pulses/{name}, rows {chunk.first} to {chunk.stop - 1}"]
    assert result.verification.good  # type: ignore[union-attr]
    torn[chunk.byte_offset] ^= 1
    torn[chunk.byte_offset + 8] ^= 1
    path.write_bytes(torn)
    assert not repair(path).verification.good  # type: ignore[union-attr]


def test_repair_refuses_a_running_file_and_what_is_no_log(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,):
        array.wait(1)
        with pytest.raises(LogError, match="used by another program"):
            repair(tmp_path / "run.h5")
        code = f"import h5py; h5py.File({str(tmp_path / 'run.h5')!r}, 'r+')"
        second = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
        assert ("unable to lock file" if LOCKS else "already open for write") in second.stderr
    (tmp_path / "text.h5").write_bytes(b"text" * 100)
    with pytest.raises(LogError, match="not an HDF5 file"):
        repair(tmp_path / "text.h5")


def test_a_file_that_is_gone_stops_the_hardware_and_makes_it_safe(tmp_path: Path) -> None:
    chip = Chip()
    safe: list[int] = []
    chip._make_safe = lambda: safe.append(chip.sent)  # type: ignore[method-assign]
    log = RunLog.create(tmp_path / "run.h5", [chip], {})
    array = Recorded(chip, log)
    array.wait(1)
    (tmp_path / "run.h5").unlink()
    with pytest.raises(LogError, match="cannot be written"):
        array.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.0, 1e-7))
    assert safe == [1]
    assert chip.sent == 1


def test_a_full_disk_is_seen_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Chip()
    with record(tmp_path / "run.h5", [chip], {}) as (array,):
        monkeypatch.setattr("shutil.disk_usage", lambda _: os.terminal_size((0, 0)) and type("U", (), {"free": 1000}))
        with pytest.raises(LogError, match="1000 bytes are left"):
            array.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.0, 1e-7))
        assert chip.sent == 0


def test_wire_bytes_in_order_and_replayed(tmp_path: Path) -> None:
    talk = [(0, b"*IDN?\n"), (1, b"ACME,"), (1, b"7\n"), (0, b"READ\n"), (1, bytes(range(256)) * 600)]
    with RunLog.create(tmp_path / "run.h5", [Chip()], {}) as log:
        wire, other = log.wire("usb"), log.wire("lan")
        for direction, data in talk:
            (wire.received if direction else wire.sent)(data, time.time())
        other.sent(b"?", time.time())
    with open_run(tmp_path / "run.h5") as run:
        assert [text for _, text in run.events("link")][1] == '{"link": 1, "name": "lan"}'
        again = ReplayedWire(run, 0)
        assert again.receive(10) == b""
        again.send(b"*IDN")
        again.send(b"?\n")
        assert again.receive(100) == b"ACME,7\n"
        with pytest.raises(ReplayMismatch, match=r"message 3, byte 2: other bytes were sent(.|\n)*READ(.|\n)*REED"):
            again.send(b"REED\n")
        again.send(b"READ\n")
        assert again.receive(1 << 20) == talk[-1][1]
        with pytest.raises(ReplayMismatch, match="ends here"):
            again.send(b"x")
    assert verify(tmp_path / "run.h5").good


def test_tolerant_replay(tmp_path: Path) -> None:
    def reads(array: Any, order: list[float]) -> dict[float, bytes]:
        return {volts: array.read_mvm(np.full(5, volts)).tobytes() for volts in order}

    with record(tmp_path / "run.h5", [Chip()], {}) as (array,), array:
        seen = reads(array, [0.1, 0.05, 0.02])
        array.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.5, 1e-7))
        late = array.read_mvm(np.full(5, 0.1)).tobytes()
    strict, tolerant = (open_replay(str(tmp_path / "run.h5"), {"tolerant": how}) for how in ("no", "yes"))
    with pytest.raises(ReplayMismatch, match=r"call 0: read_mvm voltage\[0, 0\]"):
        reads(strict, [0.02, 0.1])
    assert reads(tolerant, [0.02, 0.1]) == {volts: seen[volts] for volts in (0.02, 0.1)}
    with pytest.raises(ReplayMismatch):
        tolerant.read_mvm(np.full(5, 0.07))
    tolerant.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.5, 1e-7))
    assert tolerant.read_mvm(np.full(5, 0.1)).tobytes() == late != seen[0.1]


def test_divergence_shows_both_sides(finished: Finished) -> None:
    changed = np.linspace(-0.2, 0.2, 15).reshape(3, 5) + 1e-3
    changed[-1, -1] = 0.2
    with pytest.raises(ReplayMismatch, match=r"call 0: (.|\n)*log +script\n +\[0, 0\] +-0.2 +-0.199(.|\n)*\.\.\."):
        open_replay(str(finished[0]), {}).read_mvm(changed)


def test_tables(finished: Finished, tmp_path: Path) -> None:
    with open_run(finished[0]) as run:
        data = run.read_mvm
        assert data["current"].attrs["units"] == "A"
        assert data["current"].isel(vector_call=slice(0, 3)).values.tobytes() == finished[1][1]
        assert data["voltage"].isel(vector_call=[4, 1], row=2).values.tolist() == [0.1, 0.0]
        assert to_pandas(run, "read_mvm")["voltage_0"].tolist()[:1] == [-0.2]
        assert len(cells(run, "pulses").query("seq == 7")) == 8
        written = export(run, tmp_path / "out", "parquet", ["pulses", "waits"])
    assert [path.name for path in written] == ["pulses.parquet", "pulses_cells.parquet", "waits.parquet"]


def test_damaged_records_are_left_out_only_on_request(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,), array:
        for level in range(4):
            array.read_conductances(np.arange(20).reshape(5, 4) > level)
    flip(tmp_path / "run.h5", "read_conductances/value", 2)
    with open_run(tmp_path / "run.h5") as run:
        with pytest.raises(LogError, match="row 2: damaged"):
            run.read_conductances["current"].load()
        assert run.table("read_conductances", skip_damaged=True)["current"].load()["read_call"].values.tolist() == [
            0,
            1,
            3,
        ]


def test_follow_list_and_compare(finished: Finished, tmp_path: Path) -> None:
    with record(tmp_path / "new.h5", [Chip()], {"command": "watch"}) as (array,):
        with Follower(tmp_path / "new.h5") as follower:
            array.wait(2)
            assert [(seen.table, seen.text) for seen in follower.new()] == [("waits", "2 s")]
            assert follower.new() == []
            assert not follower.ended
    found = list(catalogue(tmp_path, chip="CHIP 1"))
    assert {entry.path.name for entry in found} == {"run.h5", "new.h5"}
    assert list(catalogue(tmp_path, chip="chip 2")) == []
    with open_run(finished[0]) as one, open_run(tmp_path / "new.h5") as two:
        assert list(differences(one, one)) == []
        parts = {(part, name) for part, name, _, _ in differences(one, two)}
    assert {("settings", "command"), ("calls", "call 0"), ("statistics", "waits")} - parts == {
        ("statistics", "waits")
    }


def test_a_cell_that_the_array_does_not_have_is_named(finished: Finished) -> None:
    with h5py.File(finished[0], "r+") as file:
        file["pulses/row"][3] = 5
        seq = int(file["pulses/cell_call"][3])
        (record,) = np.flatnonzero(file["pulses/seq"][:] == seq)
    assert "/pulses/row: row 3: 5, must be below 5" in map(str, verify(finished[0]).findings)
    with open_run(finished[0]) as run, pytest.raises(LogError, match=f"/pulses, row {record}: not what an array"):
        run.pulses(int(record))
