"""The way in from an installed wheel: where the documentation is, and scripts to begin with."""

import tomllib
import webbrowser
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import imssa_lab
from imssa_lab.cli import app
from imssa_lab.cli.bench import first_steps
from tests.cli.one_value import one_value

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "bench").glob("0*.py"))


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


class Placed(metadata.PackagePath):
    """A file of a distribution, where the test put it."""

    where: Path

    def locate(self) -> Path:  # type: ignore[override]
        return self.where / self.name


@pytest.fixture
def from_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No checkout around the package; the distribution lists one script."""
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "01_read_array.py").write_text('"""Read."""\n')
    monkeypatch.setattr(imssa_lab, "__file__", str(tmp_path / "site" / "imssa_lab" / "__init__.py"))
    listed = Placed("../../../share/imssa_lab/bench/01_read_array.py")
    listed.where = tmp_path / "share"
    other = Placed("imssa_lab/cli/bench/station.py")
    other.where = tmp_path
    monkeypatch.setattr(metadata, "files", lambda name: [other, listed])
    facts = Message()
    facts["Project-URL"] = "Documentation, https://example.org/docs"
    monkeypatch.setattr(metadata, "metadata", lambda name: facts)
    return tmp_path


def test_the_scripts_are_written_as_they_are(tmp_path: Path) -> None:
    told = one_value(imssa("examples", tmp_path / "bench", "--json").stdout)
    assert [Path(file).name for file in told["files"]] == SCRIPTS
    for name in SCRIPTS:
        assert (tmp_path / "bench" / name).read_bytes() == (ROOT / "bench" / name).read_bytes()
    assert "nothing was overwritten" in imssa("examples", tmp_path / "bench").stderr


def test_a_wheel_brings_them(from_a_wheel: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["setuptools"]["data-files"] == {"/".join(first_steps._BENCH): ["bench/0*.py"]}
    done = imssa("examples", from_a_wheel / "bench")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (from_a_wheel / "bench").iterdir()] == ["01_read_array.py"]


def test_an_installation_without_them_says_so(from_a_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "files", lambda name: None)
    assert "in bench/ of the repository" in imssa("examples", from_a_wheel / "bench").stderr
    assert not (from_a_wheel / "bench").exists()
    monkeypatch.setattr(metadata, "metadata", lambda name: Message())
    assert "docs/ of the repository" in imssa("docs", "--print").stderr


def test_the_documentation_opens(from_a_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert imssa("docs", "--print").stdout.strip() == "https://example.org/docs"
    assert one_value(imssa("docs", "--json").stdout) == {"documentation": "https://example.org/docs"}
    assert opened == []
    assert imssa("docs").exit_code == 0
    monkeypatch.setattr(imssa_lab, "__file__", str(ROOT / "imssa_lab" / "__init__.py"))
    assert imssa("docs").exit_code == 0
    assert opened[0] == "https://example.org/docs"
    assert opened[1].startswith("file:///")
    assert opened[1].endswith(("build/site/index.html", "docs/index.md"))


def test_the_project_names_its_documentation() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["urls"]["Documentation"].endswith("/docs")
