"""The task level passes what is surely above the null control, and decides nothing where nothing is."""

import numpy as np
import pytest

from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds, verify_task
from trials import tiny
from twin import DigitalTwin


def test_the_lower_end_must_lie_above_the_null_control() -> None:
    assert verify_task(0.95, 0.95, Bounds(), 0.90, (0.91, 0.92)).passed
    failed = verify_task(0.95, 0.95, Bounds(), 0.90, (0.89, 0.92))
    assert not failed.passed
    assert "decides nothing" not in str(failed)
    assert failed.figures["on_array_low"] == 0.89


def test_a_task_that_needs_no_memory_decides_nothing() -> None:
    """As good as the null control in software: whatever the arrays reach, it is no evidence."""
    for lowest in ((0.95, 0.93), (0.99, 0.94)):
        level = verify_task(1.0, 0.98, Bounds(), 0.94, lowest)
        assert not level.passed
        assert str(level).startswith("task: not decidable, this task needs no memory: it decides nothing")


def deployed(null: float, units: np.ndarray | None = None) -> Deployment:
    with DigitalTwin("ideal", (16, 16), seed=0) as array:
        sequences = Sequences(*tiny.sequences(), {"null": null}, units)
        return deploy(tiny.bundle(), [array, DigitalTwin("ideal", (16, 16), seed=1)], sequences)


@pytest.mark.parametrize(("null", "passed"), [(0.5, True), (0.95, False)])
def test_a_deployment_is_judged_so(null: float, passed: bool) -> None:
    """All 40 are right; that many alone show 91 %."""
    done = deployed(null)
    assert done.accuracy == 1.0
    assert done.passed is passed
    assert ("decides nothing" in str(done)) is not passed


def test_few_recordings_show_less_than_many_sequences() -> None:
    assert deployed(0.85).passed
    assert not deployed(0.85, np.arange(40)[:, None] % 4).passed
    few, many = (
        deployed(0.2, units).levels[-1].figures["on_array_low"] for units in (np.arange(40)[:, None] % 4, None)
    )
    assert few < 0.5 < 0.9 < many


def test_sequences_keep_their_units(tmp_path) -> None:
    units = np.stack([np.arange(40), np.arange(40) % 7], axis=1)
    whole = Sequences(*tiny.sequences(), {"null": 0.5}, units)
    whole.save(tmp_path / "sequences.npz")
    found = Sequences.load(tmp_path / "sequences.npz")
    assert np.array_equal(found.test_units, units)
    assert np.array_equal(found.first(2, 3).test_units, units[:3])


def test_a_loss_of_exactly_the_bound_passes() -> None:
    assert 0.98 - 0.96 > 0.02
    assert verify_task(0.96, 0.98, Bounds(task_loss=0.02)).passed
    assert not verify_task(0.955, 0.98, Bounds(task_loss=0.02)).passed
