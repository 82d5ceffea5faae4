import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.errors import ConfigError
from imssa_lab.report import plots
from imssa_lab.report.html import write_report
from tests.report.tiny import deployment


@pytest.fixture(scope="module")
def tiny():
    return deployment()


def test_report_is_self_contained_and_escaped(tiny, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, tiny, title="<tiny> & co", float_accuracy=0.9, provenance={"host": "<b>lab"})
    page = path.read_text(encoding="utf-8")
    assert "&lt;tiny&gt; &amp; co" in page
    assert "&lt;b&gt;lab" in page
    assert not re.search(r"https?://|<script|<link|@import|src=\"(?!data:)|url\(", page)
    assert page.count("<img") == 6
    assert "90.0 %" in page


def test_verdict_comes_first_and_names_the_failed_levels(tiny, tmp_path):
    levels = [replace(level, passed=level.level != "kernel") for level in tiny.levels]
    write_report(tmp_path / "r.html", replace(tiny, levels=levels), title="t")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    verdict = page.index("<b>Not verified.</b> 1 of 4 levels failed: kernel.")
    assert verdict < page.index("<h2>Accuracy")
    assert "<b>Verified.</b>" not in page


def test_nothing_is_overwritten(tiny, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        write_report(path, tiny, title="t")
    assert path.read_text() == "mine"


def test_missing_matplotlib_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "imssa_lab.report.plots")
    monkeypatch.delattr("imssa_lab.report.plots")
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ConfigError, match=re.escape('pip install "imssa-lab[plot]"')):
        write_report(tmp_path / "r.html", tiny, title="t")
    assert not (tmp_path / "r.html").exists()


def test_error_histogram_counts_every_cell_and_marks_the_tolerance():
    target = np.full((4, 5), np.nan)
    target[1:, 1:] = 50e-6
    achieved = target + 1e-6
    achieved[1, 1] = 150e-6  # far outside the picture, still counted
    axis = plots.error_histogram([target], [achieved], 10e-6).axes[0]
    assert sum(bar.get_height() for bar in axis.patches) == 12
    assert sorted(line.get_xdata()[0] for line in axis.lines) == pytest.approx([-10, 10])
    assert "91.67 % of 12 cells" in axis.get_title()


def test_kernel_overlay_finds_the_worst_kernel_in_the_second_layer():
    exact = np.arange(12.0).reshape(4, 3)
    nrmse = np.array([0.1, 0.2, 0.3, 0.1, 0.9, 0.2])
    figure = plots.kernel_overlay([(exact, exact), (exact + 1, exact)], nrmse)
    worst = figure.axes[-1]
    assert worst.get_title().startswith("worst: layer 1, channel 1")
    np.testing.assert_array_equal(worst.lines[1].get_ydata(), exact[:, 1] + 1)


def test_maps_show_microsiemens():
    target = np.full((3, 4), 50e-6)
    figure = plots.conductance_maps(target, target + 2e-6, 10e-6, "array 0")
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes[:3]]
    for values, expected in zip(shown, (50.0, 52.0, 2.0), strict=True):
        np.testing.assert_allclose(values, expected)
