"""The page of the origin's experiment: what it concludes, and what its intervals count."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.report.origin.origin_figures import accuracy_in_rows, spikes_figure
from imssa_lab.report.origin.origin_page import OriginStudy, origin_page
from imssa_lab.report.plots.style import PANEL
from imssa_lab.studies.origin_summary import OriginModel, origin_rows
from imssa_lab.studies.pulsed_chips import FIGURES
from imssa_lab.studies.trials import plan
from twin import TwinProfile

CHIPS, TESTS, KERNELS = 4, 40, 3
TRIALS = plan([None, 0.05], [None], CHIPS)
UNITS = np.arange(TESTS)[:, None] // 2
MODEL = OriginModel(
    seed=0,
    software=(1.0, 0.94, 1.0),
    floating=(1.0, 0.94, 1.0),
    null=(0.5, 0.44, 0.56),
    test_set="40 sequences of 20 independent clips",
    arrays=3,
    kernels=KERNELS,
    kernel_macs=528,
    digital_macs=464,
    head_macs=32,
    steps=100,
    seconds=20.0,
)


def study(wrong: dict[str, int], model: OriginModel = MODEL, done: int = len(TRIALS)) -> OriginStudy:
    """So many wrong answers of every chip of an arm, among the first tests."""
    right = np.array([np.arange(TESTS) >= wrong.get(trial.arm, 0) for trial in TRIALS], dtype=float)
    results = np.ones((len(TRIALS), len(FIGURES)))
    results[:, 1] = right.mean(axis=1)
    results[:, 5:9] = [1.0, 1.0, 0.0, 1.0]
    results[done:] = np.nan
    return OriginStudy(
        task="fsdd-order-events",
        labels=("zero first", "one first"),
        preprocessing="as spikes",
        licence="<free>",
        precision="three-level",
        models=(model,),
        profile=TwinProfile.load("supert-a0"),
        trials=tuple(TRIALS),
        results=results,
        right=right,
        nrmse=np.full((len(TRIALS), KERNELS), 0.1),
        units=(UNITS,),
        spikes=tuple((label, np.linspace(0, 1.3, 50), np.arange(50)) for label in ("zero first", "one first")),
        channels=700,
        inference=(("products", "700"),),
        facts={"command": "imssa study origin"},
        wall={"float": 3.0},
    )


def words(page: str) -> str:
    return " ".join(page.split())


def test_our_loop_within_its_points() -> None:
    page = words(origin_page(study({"naive": 20, "corrected": 8})))
    assert "Our loop keeps the accuracy." in page
    assert "board as measured: 0.00 points lost on 4 chips, at most 1 wanted" in page
    assert "5 % stuck: 0.00 points lost on 4 chips, at most 3 wanted" in page
    assert "50.0 (50.0 to 50.0)" in page, "of naive chips"
    assert "each level of verification (cells, mvm, kernel, task) passed" in page
    assert "4, 4, 0, 4" in page
    assert "&lt;free&gt;" in page
    assert "95.06" not in page


def test_a_point_too_many_shows() -> None:
    page = words(origin_page(study({"ours": 1})))
    assert "Our loop loses more than it may." in page
    assert "board as measured: 2.50 points lost" in page


def test_a_task_without_need_of_memory_decides_nothing() -> None:
    page = words(origin_page(study({}, replace(MODEL, null=(0.99, 0.97, 1.0)))))
    assert "This task needs no memory: it decides nothing." in page
    assert "Our loop keeps" not in page


def test_under_way() -> None:
    page = words(origin_page(study({}, done=3)))
    assert "Under way." in page
    assert "3 of 24 deployments are through" in page
    assert "Under way." in words(origin_page(study({}, done=0)))


def test_the_published_accuracies_are_of_two_classes_of_shd() -> None:
    page = words(origin_page(replace(study({}), task="shd", labels=("0 English", "1 English"))))
    assert "95.06 % in software, 81.69 % on its chip" in page
    assert "stand-in" not in page
    three = replace(study({}), task="shd", labels=("0 English", "1 English", "2 English"))
    assert not three.published


def test_a_narrow_page_has_pictures_of_its_own() -> None:
    assert origin_page(study({})).count('<source media="(max-width: 760px)"') == 2
    rows = origin_rows(TRIALS, study({}).results, study({}).right, study({}).nrmse, [UNITS])
    for published in (False, True):
        figure = accuracy_in_rows(rows, [MODEL], published=published)
        (axis,) = figure.axes
        assert len(axis.get_yticklabels()) == len(rows)
        assert ("published, on the chip: 81.69 %" in axis.get_legend_handles_labels()[1]) is published
        assert figure.get_figwidth() == spikes_figure(study({}).spikes, 700, narrow=True).get_figwidth() == PANEL[0]


@pytest.mark.parametrize("by", ["chip", "clip"])
def test_intervals_count_what_answers_share(by: str) -> None:
    """A half of the answers is wrong: spread evenly, or all of two chips, or all of half the clips."""
    trials = TRIALS[:CHIPS]
    results = np.ones((CHIPS, len(FIGURES)))
    even = np.tile([0.0, 1.0], (CHIPS, TESTS // 2))
    even[1::2] = even[1::2, ::-1]
    together = np.zeros((CHIPS, TESTS))
    if by == "chip":
        together[:2] = 1.0
    else:
        together[:, : TESTS // 2] = 1.0
    widths = []
    for right in (even, together):
        (row,) = origin_rows(trials, results, right, np.ones((CHIPS, KERNELS)), [UNITS])
        widths.append(row.interval[1] - row.interval[0])
    assert widths[1] > 1.3 * widths[0], widths
