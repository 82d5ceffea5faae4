"""Pictures of a run as vector files for a paper."""

import re

import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app


@pytest.mark.parametrize(("column", "millimetres"), [("single", 88), ("double", 180)])
def test_every_picture_of_a_report_becomes_a_file_as_wide_as_its_column(column, millimetres, deployed, tmp_path):
    words = ["report", str(deployed), "--figures", str(tmp_path / "new"), "--figure-width", column, "--format", "svg"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    captions = (tmp_path / "new" / "captions.txt").read_text()
    widths = {}
    for path in (tmp_path / "new").glob("*.svg"):
        assert f"{path.name}: " in captions
        points = float(re.search(r'width="([\d.]+)pt"', path.read_text())[1])
        widths[path.stem] = points / 72 * 25.4
    assert {"accuracy", "kernel-nrmse", "conductance-maps", "energy", "error-by-level"} <= set(widths)
    assert max(widths.values()) == pytest.approx(millimetres, abs=1)
    assert CliRunner().invoke(app, words).exit_code == 1  # nothing is overwritten


@pytest.mark.parametrize(
    "words",
    [["--figure-width", "three"], ["--format", "png"], ["--file", "page.html"]],
    ids=["column", "format", "both"],
)
def test_what_is_not_known_is_refused_before_a_folder_is_made(words, deployed, tmp_path):
    done = CliRunner().invoke(app, ["report", str(deployed), "--figures", str(tmp_path / "new"), *words])
    assert done.exit_code == 1
    assert not (tmp_path / "new").exists()


def test_pdf_is_what_journals_take(night, tmp_path):
    from imssa_lab.report.figure_files import write_figures

    files = write_figures(night, tmp_path / "new")
    assert (tmp_path / "new" / "trajectory.pdf") in files
    assert all(path.read_bytes().startswith(b"%PDF") for path in files[:-1])
