"""The package as a new user meets it."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from imssa_lab import open_array

ROOT = Path(__file__).parents[1]


def test_the_readme_s_bench_script_runs_and_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "4096 cells" in said
    replayed = script.replace("twin:supert-a0?seed=1", "replay:night-1.h5").replace(
        'record("night-1', 'record("again'
    )
    exec(compile(replayed, "README.md", "exec"), {})
    assert capsys.readouterr().out == said


def test_presets_are_installed() -> None:
    with open_array("twin:ideal?seed=3&shape=4x6") as array:
        assert array.info.shape == (4, 6)
    assert (files("twin") / "presets" / "supert-a0.toml").is_file()


def test_no_file_grows_too_large_to_read() -> None:
    packages = ("imssa_lab", "drivers", "twin", "protocols", "trials", "benchmarks", "tests")
    sizes = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for package in packages
        for path in (ROOT / package).rglob("*.py")
    }
    assert {path: lines for path, lines in sizes.items() if lines > 400} == {}
