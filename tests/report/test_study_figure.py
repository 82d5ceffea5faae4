"""The figure of a study says nothing of anybody else's task."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.report.study_figure import stuck_figure
from imssa_lab.studies.trials import ARMS, StudyPoint
from trials import tiny

POINTS = [StudyPoint(0.0, 1e-6, arm, (0.98, 0.98), (0.97, 0.96)) for arm in ARMS]


@pytest.mark.parametrize(
    ("task", "classes", "shown"),
    [("shd", 2, True), ("shd", 3, False), ("digits-first", 2, False), ("shd-like", 2, False), ("SHD", 2, False)],
)
def test_the_published_accuracies_stand_beside_the_task_that_they_are_of_alone(task, classes, shown):
    labels, head = tuple(map(str, range(classes))), np.zeros((classes, tiny.CHANNELS))
    bundle = replace(tiny.bundle(), task=task, labels=labels, head_weight=head, head_bias=np.zeros(classes))
    figure = stuck_figure(POINTS, bundle)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert any("published" in text for text in words) is shown
    assert figure.axes[0].get_title() == f"{task}, {bundle.precision}"
