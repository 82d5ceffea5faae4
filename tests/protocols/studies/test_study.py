"""A study's file has the same content however many workers filled it and however often it was stopped."""

from itertools import islice
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.studies import written_chips
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.study_store import StudyStore
from imssa_lab.studies.trials import ARMS, StudyTrial, plan, points
from imssa_lab.studies.workers import DaskWorkers, OneProcess, workers
from imssa_lab.studies.written_chips import study_trial
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin

TRIALS = plan([None, 0.01], [1e-6], 5, ("naive", "ours"))


def trial(offset: float, job: StudyTrial) -> tuple[float, float]:
    """Stands in for a deployment: numbers that only the trial decides."""
    rng = np.random.default_rng([job.chip, int(1e4 * (job.stuck or 0.0)), ARMS.index(job.arm)])
    values = rng.standard_normal((40, 40))
    return 0.9, float(np.linalg.norm(values @ values)) + offset


def failing(offset: float, job: StudyTrial) -> tuple[float, float]:
    raise ValueError(f"chip {job.chip}")


def fill(path: Path, pool: OneProcess | DaskWorkers, most: int | None = None, offset: float = 0.0) -> bytes:
    """Run at most so many of the trials that are due; the bytes of the file."""
    with StudyStore(path, TRIALS, "model") as store, pool:
        for index, result in islice(pool.run(trial, offset, [(i, TRIALS[i]) for i in store.due]), most):
            store.put(index, result)
    return path.read_bytes()


def test_resumed_study_has_the_same_bytes(tmp_path: Path) -> None:
    whole = fill(tmp_path / "whole.h5", OneProcess())
    part = fill(tmp_path / "part.h5", OneProcess(), most=7)
    assert part != whole
    assert fill(tmp_path / "part.h5", OneProcess()) == whole
    assert fill(tmp_path / "other.h5", OneProcess(), offset=1e-9) != whole


def test_two_workers_give_the_bytes_of_one(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    assert fill(tmp_path / "two.h5", workers(2)) == fill(tmp_path / "one.h5", workers(1))


def faults(megabytes: int, _: int) -> int:
    """Pages that this process fetches anew from the system while it makes and drops so many arrays of 1 MB."""
    started = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(megabytes):
        np.ones(2**17)
    return getrusage(RUSAGE_SELF).ru_minflt - started


@pytest.mark.parametrize("quiet", [True, False])
def test_workers_keep_the_memory_they_freed(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    if not quiet:  # what Dask does when left to itself
        monkeypatch.setattr("imssa_lab.studies.workers._QUIET", {})
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    with workers(2) as pool:
        fetched = dict(pool.run(faults, 100, [(0, 0)]))[0]
    assert (fetched < 2_000) == quiet, f"{fetched} pages"


def test_error_in_a_trial_ends_the_study(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with workers(2) as pool, pytest.raises(ValueError, match="chip 0"):
        list(pool.run(failing, 0.0, [(0, TRIALS[0])]))


def test_another_study_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "study.h5"
    fill(path, OneProcess(), most=3)
    with pytest.raises(LogError, match="another model"):
        StudyStore(path, TRIALS, "another")
    with pytest.raises(LogError, match="20 other trials than the 19"):
        StudyStore(path, TRIALS[:-1], "model")


def test_store_is_plain_hdf5_with_units(tmp_path: Path) -> None:
    fill(tmp_path / "study.h5", OneProcess(), most=3)
    with h5py.File(tmp_path / "study.h5") as file:
        assert file["trials/sigma"].attrs["unit"] == "S; NaN: by pulses"
        assert np.isfinite(file["results"][:, 1]).sum() == 3
        done = points(TRIALS, file["results"][...])
    assert [len(point.accuracies) for point in done] == [3]


def test_trials_on_other_chips_meet_other_chips() -> None:
    """Each number of a chip has faults and cells of its own, and always the same ones."""
    model = StudyModel(tiny.bundle(), Sequences(*tiny.sequences()), tests=8)
    seen: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    for repeat in range(2):
        for chip in range(3):
            (array,) = written_chips.chips(1, chip, 0.1, written_chips.healthy_profile())
            seen[repeat, chip] = (array.cells.stuck.tobytes(), array.cells.conductance.tobytes())
    assert all(seen[0, chip] == seen[1, chip] for chip in range(3))
    assert len({stuck for stuck, _ in seen.values()}) == 3
    used: list[bytes] = []
    deploy = written_chips.deploy

    def watch(
        bundle: KernelBundle, arrays: list[DigitalTwin], sequences: Sequences, choices: DeploymentChoices
    ) -> Deployment:
        used.append(arrays[0].cells.stuck.tobytes())
        return deploy(bundle, arrays, sequences, choices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written_chips, "deploy", watch)
        for chip in range(3):
            study_trial(model, StudyTrial(stuck=0.05, sigma=1e-6, arm="naive", chip=chip))
    assert len(set(used)) == 3
