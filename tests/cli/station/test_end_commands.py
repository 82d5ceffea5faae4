"""A night that ended, well or badly, is known to have ended: the programs of the station file."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from imssa_lab.cli import app
from twin import DigitalTwin

NOTE = (
    "import json, os, sys; from pathlib import Path; "
    "facts = {name: os.environ['IMSSA_' + name] for name in ('COMMAND', 'EXIT_CODE', 'MESSAGE', 'FOLDER')}; "
    "Path(sys.argv[1]).write_text(json.dumps(facts))"
)


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMSSA_STATION", raising=False)
    lines = [
        f"{when} = {json.dumps([sys.executable, '-c', NOTE, str(tmp_path / f'{when}.json')])}"
        for when in ("on_end", "on_trouble")
    ]
    lines += ["[arrays.left]", 'address = "twin:ideal?shape=4x4&seed=1"']
    (tmp_path / "station.toml").write_text("\n".join(lines))
    np.save(tmp_path / "t.npy", np.full((4, 4), 50e-6))
    return tmp_path


def told(bench: Path, when: str) -> dict[str, str] | None:
    path = bench / f"{when}.json"
    return json.loads(path.read_text()) if path.exists() else None


def test_a_good_end_is_an_end_and_no_trouble(bench: Path) -> None:
    assert imssa("program", "t.npy", "--array", "left", "--out", "night").exit_code == 0
    facts = {"COMMAND": "program", "EXIT_CODE": "0", "MESSAGE": "ended", "FOLDER": str(bench)}
    assert told(bench, "on_end") == facts
    assert told(bench, "on_trouble") is None


def test_cells_out_of_tolerance_are_trouble(bench: Path) -> None:
    """On a virtual board that is as the measured one, a word line of which follows no pulse."""
    station = bench / "station.toml"
    station.write_text(station.read_text().replace("twin:ideal?shape=4x4&seed=1", "twin:supert-a0?shape=8x8&seed=2"))
    np.save(bench / "t.npy", np.full((8, 8), 50e-6))
    assert imssa("program", "t.npy", "--array", "left", "--out", "night").exit_code == 3
    for when in ("on_end", "on_trouble"):
        facts = told(bench, when)
        assert facts is not None
        assert facts["EXIT_CODE"] == "3"
        assert facts["MESSAGE"] == "ended with exit code 3"


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), "130"), (RuntimeError("a\nfault"), "1")])
def test_so_is_whatever_cut_it_off(
    bench: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: str
) -> None:
    def broken(self: DigitalTwin, *given: object) -> None:
        raise error

    monkeypatch.setattr(DigitalTwin, "_read_conductances", broken)
    imssa("program", "t.npy", "--array", "left", "--out", "night")
    facts = told(bench, "on_trouble")
    assert facts is not None
    assert facts["EXIT_CODE"] == code
    assert "\n" not in facts["MESSAGE"]
    assert told(bench, "on_end") == facts


def test_a_dry_run_ends_silently(bench: Path) -> None:
    assert imssa("program", "t.npy", "--array", "left", "--dry-run").exit_code == 0
    assert told(bench, "on_end") is None


def test_a_program_that_is_missing_is_named_and_changes_nothing(bench: Path) -> None:
    text = (bench / "station.toml").read_text().splitlines()
    (bench / "station.toml").write_text("\n".join(['on_end = ["no-such-program"]', *text[2:]]))
    done = imssa("program", "t.npy", "--array", "left", "--out", "night")
    assert done.exit_code == 0
    assert "on_end of the station file" in done.stderr
