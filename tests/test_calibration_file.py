"""Calibration files: what is written comes back, and none is used for another chip."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import CalibrationError
from imssa_lab.station.calibration_file import CalibrationFile
from twin import DigitalTwin

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def calibration(**changes: object) -> CalibrationFile:
    four = (1.0, 1.1, 0.9, 1.0)
    facts = {
        "chip": "twin:ideal seed 3",
        "array": "chip0",
        "date": NOW,
        "gain": four,
        "offset": (1e-7, 0.0, -2e-7, 0.0),
        "before": four,
        "after": (1e-6,) * 4,
        "log": "calibrate.h5",
    }
    return CalibrationFile.model_validate(facts | changes)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "chip0.json"
    one = calibration(temperature=298.15)
    one.save(path)
    assert CalibrationFile.load(path) == one
    two = calibration(gain=(2.0, 2.0, 2.0, 2.0))
    two.save(path)  # a station's file is replaced
    assert CalibrationFile.load(path) == two
    assert [file.name for file in tmp_path.iterdir()] == ["chip0.json"]


def test_it_corrects_the_chip_that_it_is_of_and_no_other() -> None:
    chip, other, wide = (DigitalTwin("ideal", (4, cols), seed) for cols, seed in ((4, 3), (4, 4), (5, 3)))
    found = calibration().of(chip.info, Path("c.json"))
    assert found.apply(np.ones(4)) == pytest.approx([1.0 + 1e-7, 1.1, 0.9 - 2e-7, 1.0])
    assert found.residual == pytest.approx(1e-6 * chip.info.read_voltage)
    with pytest.raises(CalibrationError, match=r"chip 'twin:ideal seed 3', connected is 'twin:ideal seed 4'"):
        calibration().of(other.info, Path("c.json"))
    with pytest.raises(CalibrationError, match=r"of 4 bit lines, .* has 5"):
        calibration().of(wide.info, Path("c.json"))


@pytest.mark.parametrize(
    ("later", "days", "words", "stale"),
    [
        (timedelta(hours=3), 30.0, "3.0 hours old", False),
        (timedelta(days=29), 30.0, "29 days old", False),
        (timedelta(days=31), 30.0, "STALE, older than 30 days", True),
        (timedelta(hours=-2), 30.0, "in the future", True),
    ],
)
def test_its_age(later: timedelta, days: float, words: str, stale: bool) -> None:
    told, old = calibration().age(days, NOW + later)
    assert words in told
    assert old is stale


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gian", [1.0], "unknown key 'gian'; did you mean 'gain'"),
        ("version", 2, "version: Input should be 1"),
        ("offset", [0.0], "one value for each bit line"),
        ("gain", [float("nan")] * 4, "finite"),
        ("date", "2026-03-04T05:06:07", "timezone"),
        ("temperature", -3.0, "greater than 0"),
    ],
)
def test_damage_is_named(tmp_path: Path, key: str, value: object, said: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**calibration().model_dump(mode="json"), key: value}))
    with pytest.raises(CalibrationError, match=said):
        CalibrationFile.load(path)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="`imssa calibrate` measures one"):
        CalibrationFile.load(tmp_path / "c.json")
    (tmp_path / "c.json").write_text("gain = 1")
    with pytest.raises(CalibrationError, match="Invalid JSON"):
        CalibrationFile.load(tmp_path / "c.json")
