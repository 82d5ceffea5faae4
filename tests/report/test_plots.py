from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from imssa_lab.contract.errors import LogError
from imssa_lab.report import measured, plots
from imssa_lab.report.measured.programmed import of_arrays
from imssa_lab.report.study_figure import stuck_figure
from imssa_lab.studies.trials import ARMS, StudyPoint
from trials import tiny

OF_PROGRAMMED = (
    "conductance_maps",
    "error_maps",
    "error_histogram",
    "error_quantiles",
    "yield_by_pulse",
    "error_by_level",
    "conductance_by_level",
)


@pytest.mark.parametrize("name", OF_PROGRAMMED)
def test_pictures_take_a_run_or_what_was_made_of_it(name, night_run):
    draw = getattr(plots, name)
    for source in (night_run, measured.programmed(night_run)):
        assert isinstance(draw(source), Figure)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("mvm_scatter", "products"),
        ("column_residuals", "products"),
        ("column_calibration", "calibrated"),
        ("relaxation_fans", "repeats"),
        ("noise_spectra", "repeats"),
    ],
)
def test_pictures_of_a_night_take_a_run_or_an_xarray(name, source, night_run):
    draw = getattr(plots, name)
    one, two = draw(night_run), draw(getattr(measured, source)(night_run))
    for figure in (one, two):
        assert figure.axes[0].lines or figure.axes[0].collections
    assert [a.get_title() for a in one.axes] == [a.get_title() for a in two.axes]


def test_error_histogram_counts_every_cell_and_marks_the_tolerance():
    target = np.full((4, 5), np.nan)
    target[1:, 1:] = 50e-6
    achieved = target + 1e-6
    achieved[1, 1] = 150e-6  # far outside the picture, still counted
    axis = plots.error_histogram(of_arrays([target], [achieved], 10e-6)).axes[0]
    assert sum(bar.get_height() for bar in axis.patches) == 12
    assert sorted(line.get_xdata()[0] for line in axis.lines) == pytest.approx([-10, 10])
    assert "91.67 % of 12 cells" in axis.get_title()


def test_normal_errors_lie_on_the_line_and_stuck_cells_do_not():
    random = np.random.default_rng(0)
    target = np.full((60, 60), 50e-6)
    normal = of_arrays([target], [target + random.normal(0, 1e-6, target.shape)], 10e-6)
    law, cells = plots.error_quantiles(normal).axes[0].lines[:2]
    assert np.abs(cells.get_ydata() - law.get_ydata())[100:-100].max() < 0.1
    assert "σ 1.0" in law.get_label()
    stuck = normal["achieved"].values.copy()
    stuck[0, 0, :20] = 100e-6
    cells = plots.error_quantiles(of_arrays([target], [stuck[0]], 10e-6)).axes[0].lines[1]
    assert np.count_nonzero(np.isclose(cells.get_ydata(), 40.0)) == 20


def test_maps_show_microsiemens():
    target = np.full((3, 4), 50e-6)
    figure = plots.conductance_maps(of_arrays([target], [target + 2e-6], 10e-6))
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes[:4]]
    for values, expected in zip(shown, (50.0, 52.0, 2.0, 0.0), strict=True):
        np.testing.assert_allclose(values, expected)


def test_maps_have_word_lines_down_and_bit_lines_across():
    """A map in which every cell differs is drawn as it is, target, achieved and error alike."""
    target = 1e-6 * np.arange(1.0, 17.0).reshape(4, 4)
    achieved = target + 1e-7 * np.arange(16.0).reshape(4, 4) ** 2
    figure = plots.conductance_maps(of_arrays([target], [achieved], 10e-6))
    shown = [axis.images[0].get_array() for axis in figure.axes[:3]]
    for values, wanted in zip(shown, (target, achieved, achieved - target), strict=True):
        assert np.asarray(values) == pytest.approx(1e6 * wanted)
    assert (figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()) == ("word line", "bit line")


def test_the_map_of_ends_believes_the_reread_and_not_the_loop():
    from imssa_lab.contract.programming_report import CellOutcome
    from imssa_lab.report.plots.maps import ends

    target = np.array([[50e-6, 50e-6, 50e-6, np.nan]])
    achieved = np.array([[51e-6, 90e-6, 2e-6, np.nan]])
    outcome = np.array([[CellOutcome.STUCK_LOW, CellOutcome.REACHED, CellOutcome.STUCK_LOW, 0]])
    np.testing.assert_array_equal(ends(target, achieved, outcome, 10e-6), [[0.0, 1.0, 2.0, np.nan]])


def levelled():
    """Four cells to 20 uS, one of them stuck at the bottom, and four to 100 uS, of a window from 0 to 120 uS."""
    target = np.repeat([[20e-6], [100e-6]], 4, axis=1)
    achieved = target + np.array([[0.0, 1e-6, 2e-6, -20e-6], [0.0, 3e-6, -5e-6, 12e-6]])
    data = of_arrays([target], [achieved], 10e-6)
    level = np.where(target > 60e-6, 2, 0)[None]
    ranges = [[[10e-6, 47e-6], [47e-6, 83e-6], [83e-6, 120e-6]]]
    return data.assign(level=(("array", "row", "col"), level), ranges=(("array", "level_of", "end"), ranges))


def test_errors_by_level_count_the_stuck_cell_and_show_the_chip_that_was_never_programmed():
    axis = plots.error_by_level(levelled()).axes[0]
    low, high, never = axis.lines[:3]
    assert low.get_xdata() == pytest.approx([0, 1, 2, 20])
    assert low.get_ydata() == pytest.approx([25, 50, 75, 100])
    assert high.get_xdata() == pytest.approx([0, 3, 5, 12])
    assert never.get_xdata() == pytest.approx([20] * 4 + [100] * 4)
    assert low.get_label() == "to 10-47 µS, 4 cells"
    assert axis.get_title() == "8 cells that had to move, 0 beyond the edge"


def test_conductances_by_level_count_every_programmed_cell_once():
    axis = plots.conductance_by_level(levelled()).axes[0]
    bars = [bar for bar in axis.patches if bar.get_label() == "_nolegend_" or hasattr(bar, "get_height")]
    assert sum(bar.get_height() for bar in bars if hasattr(bar, "get_height")) == 8
    labels = [text.get_text() for text in axis.figure.legends[0].get_texts()]
    assert labels == ["to 10-47 µS, 4 cells", "to 83-120 µS, 4 cells"]


def test_a_dressed_figure_has_one_size_of_text_and_the_width_of_a_column(night_run):
    from matplotlib.text import Text

    figure = plots.dress(plots.conductance_maps(night_run, narrow=True), plots.SINGLE_COLUMN)
    figure.savefig(BytesIO(), format="pdf")
    words = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert {text.get_fontsize() for text in words} == {8.0}
    assert figure.get_figwidth() == pytest.approx(88 / 25.4, abs=0.01)


def test_yield_counts_only_cells_that_the_reread_finds_inside():
    target = np.full((2, 2), 50e-6)
    achieved = target + np.array([[0.0, 0.0], [0.0, 40e-6]])
    data = of_arrays([target], [achieved], 10e-6, pulses=[np.array([[1, 3], [3, 9]])])
    line = plots.yield_by_pulse(data).axes[0].lines[0]
    assert line.get_xdata().tolist() == [1, 3, 3]
    assert line.get_ydata().tolist() == [25.0, 50.0, 75.0]


def test_the_worst_kernel_is_drawn_last(deployed_run):
    outcome = measured.outcome_of(deployed_run)
    figure = plots.kernel_overlay(deployed_run)
    worst = int(np.argmax(outcome.result["kernel_nrmse"]))
    assert figure.axes[-1].get_title().startswith(f"worst: layer 0, channel {worst}")
    np.testing.assert_array_equal(figure.axes[-1].lines[1].get_ydata(), outcome.responses[-1].measured)
    assert plots.nrmse_histogram(deployed_run).axes[0].get_title().startswith("3 kernels")


def test_a_run_without_a_deployment_has_no_kernels(night_run):
    with pytest.raises(LogError, match="no deployment"):
        plots.kernel_overlay(night_run)


def repeated(values, step=0.5):
    cells = values.shape[1]
    return xarray.Dataset(
        {
            "conductance": (("read", "cell"), values),
            "device_time": (("read",), step * np.arange(len(values))),
            "record": (("read",), np.arange(len(values))),
        },
        coords={"row": (("cell",), np.arange(cells)), "col": (("cell",), np.zeros(cells, int))},
        attrs={"array": 0},
    )


def test_the_density_of_white_noise_is_that_of_its_variance():
    """sigma 1 uS every 0.5 s is 2 * 0.5 uS2/Hz, flat; the median over cells of an exponential law lies at ln 2."""
    values = 50e-6 + 1e-6 * np.random.default_rng(0).normal(size=(256, 400))
    values[:, 0], values[:, -1] = values[:, 0] - 40e-6, values[:, -1] + 40e-6
    line = plots.noise_spectra(repeated(values)).axes[0].lines[1]
    assert np.mean(line.get_ydata()[3:]) == pytest.approx(np.log(2), rel=0.05)
    slope = np.polyfit(np.log(line.get_xdata()), np.log(line.get_ydata()), 1)[0]
    assert abs(slope) < 0.05
    walk = 50e-6 + 1e-6 * np.cumsum(np.random.default_rng(1).normal(size=(256, 50)), axis=0)
    line = plots.noise_spectra(repeated(walk)).axes[0].lines[0]
    assert np.polyfit(np.log(line.get_xdata()), np.log(line.get_ydata()), 1)[0] < -1.5  # the null control


def test_fans_follow_the_cells_that_move():
    time = np.arange(20.0)[:, None]
    values = np.concatenate([np.full((20, 10), 10e-6), 100e-6 - 1e-6 * np.repeat(time, 10, axis=1)], axis=1)
    still, moving = plots.relaxation_fans(repeated(values)).axes[0].lines
    np.testing.assert_allclose(still.get_ydata(), 0.0, atol=1e-9)
    np.testing.assert_allclose(moving.get_ydata(), -np.arange(1.0, 20.0))


@pytest.mark.parametrize(("along", "scale"), [("bits", 1), ("sigma", 1e6), ("stuck", 100), ("time", 1)])
def test_accuracy_against_each_thing_it_depends_on(along, scale):
    accuracy = np.array([[[0.9, 0.8], [0.7, 0.5]], [[0.9, 0.9], [0.9, 0.9]]])
    data = xarray.Dataset(
        {"accuracy": (("curve", along, "repeat"), accuracy)}, coords={"curve": ["naive", "ours"], along: [0.01, 2.0]}
    )
    axis = plots.accuracy_against(data, along).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_xdata(), scale * np.array([0.01, 2.0]))
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [85.0, 60.0])
    assert [text.get_text() for text in axis.figure.legends[0].get_texts()] == ["naive", "ours"]
    with pytest.raises(ValueError, match="choose one of"):
        plots.accuracy_against(data, "colour")


def test_accuracy_bars_carry_their_intervals():
    axis = plots.accuracy_bars([("on arrays", 0.9), ("null control", 0.5)], 100).axes[0]
    assert [bar.get_height() for bar in axis.patches] == [90.0, 50.0]
    assert "100 test sequences" in axis.get_title()


@pytest.mark.parametrize(
    ("task", "classes", "shown"),
    [("shd", 2, True), ("shd", 3, False), ("digits-first", 2, False), ("shd-like", 2, False), ("SHD", 2, False)],
)
def test_the_published_accuracies_stand_beside_the_task_that_they_are_of_alone(task, classes, shown):
    labels, head = tuple(map(str, range(classes))), np.zeros((classes, tiny.CHANNELS))
    bundle = replace(tiny.bundle(), task=task, labels=labels, head_weight=head, head_bias=np.zeros(classes))
    points = [StudyPoint(0.0, 1e-6, arm, (0.98, 0.98), (0.97, 0.96)) for arm in ARMS]
    figure = stuck_figure(points, bundle)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert any("published" in text for text in words) is shown
    assert figure.axes[0].get_title() == f"{task}, {bundle.precision}"
