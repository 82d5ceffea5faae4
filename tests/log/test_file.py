"""The run file: never overwritten, never silently wrong, readable by others."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

from imssa_lab.contract.errors import InvalidReading, LogError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import Recorded, RunLog, open_run, record
from imssa_lab.log.file.chunks import without_unfinished
from imssa_lab.log.file.compiled_checksum import with_checksum
from imssa_lab.log.schema import NO_RECORD, TABLES

from .conftest import Chip, session

Finished = tuple[Path, list[Any]]


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(b"precious")
    with pytest.raises(LogError, match="exists; a log is never overwritten"):
        RunLog.create(path, [Chip()], {})
    assert path.read_bytes() == b"precious"


def test_missing_folder_and_mixed_shapes(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"folder .*nowhere does not exist"):
        RunLog.create(tmp_path / "nowhere" / "run.h5", [Chip()], {})
    with pytest.raises(LogError, match="chip 1 5x4, chip 2 3x4"):
        RunLog.create(tmp_path / "run.h5", [Chip(1), Chip(2, shape=(3, 4))], {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_it(finished: Finished) -> None:
    with open_run(finished[0]) as run:
        assert run.closed_cleanly
        assert run.provenance == {"git": "abc", "command": "test"}
        assert run.infos == [Chip().info]
        assert run.events()[-2:] == [("make_safe", "array 0"), ("close", "array 0")]
        assert run.column("read_mvm", "count").tolist() == [3, 1, 1, 1]
        assert run.column("program", "default").tolist() == [1, 0]
        assert run.column("pulses", "done").all()
        summary = run.summary()
        assert summary["read_mvm"] == "4"
        assert summary["closed cleanly"] == "yes"
        json.dumps(summary)


PACKED = ("entry/current_0/current", "entry/current_0/time")


def test_no_strings_of_variable_length_and_checksums_everywhere(finished: Finished) -> None:
    with h5py.File(finished[0]) as file:

        def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                assert item.fletcher32 or item.id.get_create_plist().get_layout() == h5py.h5d.COMPACT, name
                column = TABLES.get(name.partition("/")[0], {}).get(name.partition("/")[2])
                packed = item.ndim == 3 or bool(column and column.packed) or name in PACKED
                assert (item.compression is not None) == packed, name
                assert "units" in item.attrs or item.is_scale or item.dtype.kind == "S", name
            for key in item.attrs:
                kind = h5py.check_string_dtype(item.attrs.get_id(key).dtype)
                assert kind is None or kind.length is not None, (name, key)

        look("/", file)
        file.visititems(look)


@pytest.mark.parametrize("table", [*TABLES])
def test_xarray_opens_every_table(finished: Finished, table: str) -> None:
    with xarray.open_dataset(finished[0], group=table, engine="h5netcdf") as data:
        assert {name for name, column in TABLES[table].items() if not column.behind} <= set(data.variables)
        if table == "read_mvm":
            assert data["voltage"].dims == ("vector_call", "row")
            assert data["voltage"].attrs["units"] == "V"
            assert data["value"].shape == (6, 4)


def test_another_version(finished: Finished) -> None:
    with h5py.File(finished[0], "r+") as file:
        file.attrs["format_version"] = 9
    with pytest.raises(LogError, match="format version 9, this imssa_lab understands 2"):
        open_run(finished[0])


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.3, 0.9, 0.9999])
def test_truncated(finished: Finished, part: float) -> None:
    data = finished[0].read_bytes()
    finished[0].write_bytes(data[: int(len(data) * part)])
    with pytest.raises(LogError, match=r"not an HDF5 file|truncated"):
        open_run(finished[0])


def test_not_a_log(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "x") as file:
        file["a"] = 1
    with pytest.raises(LogError, match="not an imssa_lab run"):
        open_run(tmp_path / "other.h5")
    with pytest.raises(LogError, match="no such file"):
        open_run(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("table", "name"), [("read_mvm", "value"), ("read_conductances", "mask"), ("pulses", "gate")]
)
def test_a_flipped_bit_is_not_silent(finished: Finished, table: str, name: str) -> None:
    with h5py.File(finished[0]) as file:
        dataset = file[table][name]
        place = dataset.id.get_chunk_info(0)
    data = bytearray(finished[0].read_bytes())
    data[place.byte_offset + 3] ^= 0x10
    finished[0].write_bytes(bytes(data))
    with open_run(finished[0]) as run:
        with pytest.raises(LogError, match=f"/{table}/{name}, row 0: damaged"):
            run.column(table, name)
        with pytest.raises(LogError, match=f"/{table}/{name}, row"):
            session(run.arrays()[0])


def test_a_damaged_list_of_scales_does_not_hold_up_verify(finished: Finished) -> None:
    """HDF5 itself, asked for the scales of such a file, never comes back."""
    path = finished[0]
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    place, last = heap + 16, heap + 16
    while struct.unpack_from("<H", data, place)[0]:
        last, place = place, place + 16 + 8 * -(-struct.unpack_from("<Q", data, place + 8)[0] // 8)
    struct.pack_into("<Q", data, last + 8, 163)
    path.write_bytes(data)
    code = "import sys; from imssa_lab.log.care.verify import verify; verify(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=60, cwd=Path(__file__).parents[2])


def test_long_events_are_split_not_cut(tmp_path: Path) -> None:
    text = "x" + "µ" * 3000
    with RunLog.create(tmp_path / "run.h5", [Chip()], {}) as log:
        log.event("verification", text)
        log.event("empty", "")
        with pytest.raises(LogError, match="cannot keep"):
            log.event("k" * 33, "x")
        with pytest.raises(LogError, match="zero byte"):
            log.event("kind", "a\0b")
        log.event("after", "still writing")
    with open_run(tmp_path / "run.h5") as run:
        assert run.events() == [("verification", text), ("empty", ""), ("after", "still writing")]
        assert run.events("empty") == [("empty", "")]


def test_a_log_that_cannot_be_written_stops_the_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Chip()
    log = RunLog.create(tmp_path / "run.h5", [chip], {})
    array = Recorded(chip, log)
    array.wait(1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("imssa_lab.log.write.growing.Maps.put", full)
        with pytest.raises(LogError, match="No space left"):
            array.read_conductances()
    sent = chip.sent
    for _ in range(2):
        with pytest.raises(LogError, match="nothing more is sent"):
            array.apply_pulses(Pulses.on(np.ones((5, 4), dtype=bool), "SET", 1.0, 1.0, 1e-7))
    assert chip.sent == sent
    array.close()
    log.close()
    with open_run(tmp_path / "run.h5") as run:
        assert not run.closed_cleanly
        assert run.records("waits") == 1
        assert run.records("read_conductances") == 0


@pytest.mark.parametrize(
    ("at", "vectors"), [(1, 9), (2, 9), (5, 9), (6, 9), (16, 9), (1, 2000), (9, 2000), (25, 2000), (28, 2000)]
)
def test_after_an_interrupt_within_a_record(
    at: int, vectors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes next takes the place of what was written by then: parts of chunks, or whole ones."""
    from imssa_lab.log.write import shared_chunks
    from imssa_lab.log.write.growing import GrowingDataset
    from imssa_lab.log.write.shared_chunks import SharedChunks

    calls = [0]

    def interrupted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            for wanted in (True, False):  # before and after
                calls[0] += 1
                if calls[0] == at:
                    raise KeyboardInterrupt
                if wanted:
                    answer = real(*args)
            return answer

        return step

    with record(tmp_path / "run.h5", [Chip()], {}) as (array,), array:
        first = array.read_mvm(np.full((2, 5), 0.1))
        with monkeypatch.context() as patch:
            patch.setattr(GrowingDataset, "lay", interrupted(GrowingDataset.lay))
            patch.setattr(SharedChunks, "_to_file", interrupted(SharedChunks._to_file))
            patch.setattr(shared_chunks, "overwrite", interrupted(shared_chunks.overwrite))
            with pytest.raises(KeyboardInterrupt):
                array.read_mvm(np.full((vectors, 5), 0.2))
        last = array.read_mvm(np.full((vectors - 3, 5), 0.05), raw=True)
    with open_run(tmp_path / "run.h5") as run:
        assert run.column("read_mvm", "voltage").shape == (vectors - 1, 5)
        assert run._file["read_mvm/voltage"].shape == (vectors - 1, 5)
        (replay,) = run.arrays()
        assert replay.read_mvm(np.full((2, 5), 0.1)).tobytes() == first.tobytes()
        with pytest.raises(Exception, match="ended by KeyboardInterrupt"):
            replay.read_mvm(np.full((vectors, 5), 0.2))
        assert replay.read_mvm(np.full((vectors - 3, 5), 0.05)).tobytes() == last.tobytes()


def test_numbers_of_a_block_cut_off_by_a_kill_are_taken_back(tmp_path: Path) -> None:
    """Some of the numbers are written, the checksum is not: the chunk is mended to the records before."""
    before = np.array([4, 5, 6] + 13 * [NO_RECORD], dtype="<u8")
    with h5py.File(tmp_path / "one.h5", "w") as file:
        seq = file.create_dataset("seq", (16,), "u8", chunks=(16,), fletcher32=True, fillvalue=NO_RECORD)
        checksum = with_checksum(before.tobytes())[-4:]
        for written in range(1, 13):
            cut_off = before.copy()
            cut_off[3 : 3 + written] = np.arange(7, 7 + written)
            assert without_unfinished(seq, cut_off.tobytes() + checksum, None) == before.tobytes() + checksum
        cut_off[0] = 3  # damage elsewhere is not mended
        assert without_unfinished(seq, cut_off.tobytes() + checksum, None) is None


def test_wrong_codes_are_refused_not_clipped(tmp_path: Path) -> None:
    chip = Chip()
    chip._digitise = lambda current: type(Chip()._digitise(current))(  # type: ignore[method-assign]
        np.full(current.shape, 40_000, dtype=np.int32), np.zeros(current.shape, dtype=np.uint8)
    )
    with record(tmp_path / "run.h5", [chip], {}) as (array,):
        with pytest.raises(InvalidReading, match="code 40000"):  # named before it comes to the log
            array.read_mvm(np.full(5, 0.1))
        array.wait(1)


def test_a_running_log_can_be_followed(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,):
        array.wait(1)
        follower = (
            "import sys; from imssa_lab.log import open_run\n"
            f"run = open_run({str(tmp_path / 'run.h5')!r})\n"
            "for line in sys.stdin:\n"
            "    print(run.records('waits'), run.column('waits', 'seconds').sum(), run.closed_cleanly, flush=True)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", follower],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            for expected in (1, 2):
                reader.stdin.write("\n")
                reader.stdin.flush()
                assert reader.stdout.readline().split() == [str(expected), f"{expected}.0", "False"]
                array.wait(1)
            reader.stdin.close()


def test_importing_the_package_loads_no_h5py() -> None:
    code = "import sys, imssa_lab.log; assert 'h5py' not in sys.modules; imssa_lab.log.RunLog"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_page_lists_every_dataset() -> None:
    page = (Path(__file__).parents[2] / "docs" / "log_format.md").read_text()
    missing = [name for table in TABLES for name in (f"/{table}", *TABLES[table]) if f"`{name}`" not in page]
    assert missing == []


def test_the_page_s_way_to_read_currents(finished: Finished) -> None:
    with h5py.File(finished[0], "r") as file:
        info = json.loads(file["arrays/0"].attrs["info"])
        table = file["read_mvm"]
        scale, offset = (np.array(info["adc"][name]) for name in ("scale", "offset"))
        current = scale[table["range"][:3]] * table["value"][:3] + offset[table["range"][:3]]
    assert current.tobytes() == finished[1][1]
