"""Events in words: what programs write for programs does not reach a page as JSON or base64."""

import numpy as np
import pytest

from imssa_lab.log.write.programming_events import AIM, Aim, aim_text
from imssa_lab.mapping import map_bundle
from imssa_lab.report.event_words import event_words
from protocols.deployment.journal import JOURNAL, ArrayState, array_entry, done_entry, plan_entry
from trials import tiny
from twin import DigitalTwin

SHAPE = (4, 3)
TARGET = np.full(SHAPE, np.nan)
TARGET[:2] = 5e-5
STATE = ArrayState.fresh(SHAPE)
STATE.finished[:, 0] = True
STATE.stuck[1, 2] = True


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (AIM, aim_text(Aim(3, TARGET)), "array 3: programming of 6 cells begins"),
        (JOURNAL, array_entry(2, STATE, 99), "array 2: 4 cells finished, 1 stuck, 99 pulses on all arrays so far"),
        (
            "known faults",
            array_entry(0, STATE, 5),
            "array 0: 4 cells finished, 1 stuck, 5 pulses on all arrays so far",
        ),
        (JOURNAL, done_entry(passed=False), "all levels judged: NOT verified"),
        ("result", "{}" * 500, "1000 characters of JSON, for reports and replay"),
        ("failed", "LinkTimeout: " + 300 * "x", "LinkTimeout: " + 147 * "x" + " ..."),
        ("level", "cells: passed", "cells: passed"),
    ],
)
def test_events(kind: str, text: str, words: str) -> None:
    assert event_words(kind, text) == words


def test_the_plan_of_a_deployment() -> None:
    bundle = tiny.bundle()
    with DigitalTwin("ideal", (16, 16), seed=0) as array:
        plan = map_bundle(bundle, array.info.shape, array.info.window, 1)
    words = event_words(JOURNAL, plan_entry(plan, bundle.digest()))
    assert words == f"plan: {tiny.CHANNELS} kernels on arrays 0"
    whole = map_bundle(bundle, (16, 16), plan.window, 2, layers="all")
    words = event_words(JOURNAL, plan_entry(whole, bundle.digest()))
    assert words == f"plan: {tiny.CHANNELS} kernels on arrays 0; dense layers in 1 tiles on arrays 1"
