"""Images as sequences, from small IDX files written here byte by byte as their format says."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import load_task
from imssa_lab.s4d.tasks.smnist import FILES, read_idx

RNG = np.random.default_rng(0)
TRAIN, TEST = (RNG.integers(0, 256, (count, 5, 4), dtype=np.uint8) for count in (40, 12))


def write(path: Path, array: np.ndarray, packed: bool = False) -> None:
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = header + array.tobytes()
    (path.with_name(path.name + ".gz") if packed else path).write_bytes(gzip.compress(raw) if packed else raw)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    arrays = (TRAIN, np.arange(40, dtype=np.uint8) % 4, TEST, np.arange(12, dtype=np.uint8) % 4)
    for name, array in zip(FILES, arrays, strict=True):
        write(folder / name, array, packed=name.startswith("t10k"))
    return tmp_path


def test_rows_and_pixels(data: Path) -> None:
    rows, pixels = (load_task("smnist", 0, data=data, by=by) for by in ("row", "pixel"))
    assert (rows.steps, rows.inputs) == (5, 4)
    assert (pixels.steps, pixels.inputs) == (20, 1)
    assert np.array_equal(pixels.test[0][:, :, 0], rows.test[0].reshape(12, 20))
    assert rows.labels == ("0", "1", "2", "3")
    assert np.array_equal(rows.test[1], np.arange(12) % 4)
    gray = rows.test[0].astype(np.float64)
    slope, offset = np.polyfit(TEST.ravel().astype(float), gray.ravel(), 1)
    assert np.allclose(gray, slope * TEST + offset, atol=1e-5), "every pixel is scaled alike"
    assert (rows.train[0].mean(), rows.train[0].std()) == pytest.approx((0, 1), abs=1e-4)
    assert (pixels.augmentation.shift_inputs, rows.augmentation.shift_inputs) == (0, 1)


def test_no_image_is_in_two_splits(data: Path) -> None:
    task, other = (load_task("smnist", seed, data=data, validation=0.2) for seed in (0, 1))
    assert [np.bincount(part[1]).tolist() for part in (task.train, task.validation)] == [[8] * 4, [2] * 4]
    kept, aside = ({image.tobytes() for image in part[0]} for part in (task.train, task.validation))
    assert len(kept) + len(aside) == 40
    assert not kept & aside
    assert not np.array_equal(task.validation[0], other.validation[0])


def test_refusals(data: Path) -> None:
    with pytest.raises(ConfigError, match="choose row or pixel"):
        load_task("smnist", 0, data=data, by="column")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        load_task("smnist", 0, data=data, validation=0.0)
    with pytest.raises(DataError, match=r"too few to set 0\.99 of them aside"):
        load_task("smnist", 0, data=data, validation=0.99)
    folder = data / "mnist"
    write(folder / FILES[1], np.zeros(39, dtype=np.uint8))
    with pytest.raises(DataError, match=r"\(40, 5, 4\) and labels \(39,\)"):
        load_task("smnist", 0, data=data)
    write(folder / FILES[1], np.zeros(40, dtype=np.uint8))
    with pytest.raises(DataError, match="two classes"):
        load_task("smnist", 0, data=data)


def test_damaged_files_are_named(data: Path) -> None:
    path = data / "mnist" / FILES[0]
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"0", whole[:10], whole[:2], b"", b"\0\0\x0b" + whole[3:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=FILES[0]):
            read_idx(path)
    path.write_bytes(gzip.compress(whole))
    assert np.array_equal(read_idx(path), TRAIN), "packed, whatever its name"
    for damaged in (gzip.compress(whole)[:-9], b"\x1f\x8b" + bytes(40)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged gzip"):
            read_idx(path)
    path.unlink()
    with pytest.raises(DataError, match="imssa data download mnist"):
        read_idx(path)
