"""Provenance, events and file names as scripts have them: numbers of libraries, paths, text that is no Unicode."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab import open_array
from imssa_lab.contract.errors import LogError
from imssa_lab.log import open_run, record
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.header import as_text
from imssa_lab.log.write import run_log
from tests.log.conftest import Chip, session


class Scalar:
    """As a tensor of torch without dimensions."""

    ndim = 0

    def item(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (np.float64(0.1), "0.1"),
        (np.int16(-3), "-3"),
        (np.array(7), "7"),
        (Scalar(), "0.5"),
        (np.array([1, 2]), "[1, 2]"),
        ([Path("a/b"), 1], '["a/b", 1]'),
        ({"seed": np.int64(4)}, '{"seed": 4}'),
        ({np.int64(3): [Scalar(), {(1, 2): Path("a")}], Path("b"): None}, '{"3": [0.5, {"[1, 2]": "a"}], "b": null}'),
        ({"row": 1, 2: np.float32(0.5)}, '{"row": 1, "2": 0.5}'),
        (Path("a/b"), "a/b"),
        (3, "3"),
        (True, "True"),
        (None, "None"),
    ],
)
def test_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_in_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    facts = {"seed": np.int64(4), "bundle": Path("model"), "rate": Scalar(), "name": "caf\udce9"}
    with record(path, [Chip()], facts) as (array,):
        array.log.event("note", np.float32(0.25))
        array.log.event("name", "caf\udce9")
    with open_run(path) as run:
        assert run.provenance == {"seed": "4", "bundle": "model", "rate": "0.5", "name": "caf\udce9"}
        assert run.events("note") == [("note", "0.25")]
        assert run.events("name") == [("name", "caf\\udce9")]
        assert run.summary()["seed"] == "4"
    assert verify(path).good


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), Scalar()])
def test_a_reading_is_a_number_of_any_library(tmp_path: Path, value: object) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,):
        array.log.measure("temperature", value, "K")
        for wrong in (np.bool_(True), np.array([0.5]), "0.5"):
            with pytest.raises(LogError, match="one number in K"):
                array.log.measure("temperature", wrong, "K")
    with open_run(tmp_path / "run.h5") as run:
        assert run.column("measurements", "value").tolist() == [0.5]


def test_a_file_with_a_question_mark_in_its_name_replays(tmp_path: Path) -> None:
    path = tmp_path / "what?now=1.h5"
    with record(path, [Chip()], {}) as (array,):
        seen = session(array)
    for options in ("", "?array=0", "?array=0&tolerant=no"):
        assert session(open_array(f"replay:{path}{options}")) == seen


def test_lines_that_two_bytes_cannot_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_LINES", 4)
    with pytest.raises(LogError, match=r"5x4.*16 bits"), record(tmp_path / "run.h5", [Chip()], {}):
        pass
    assert not list(tmp_path.iterdir())
