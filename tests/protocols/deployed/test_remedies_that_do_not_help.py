"""A remedy that does not help is taken back: with a remedy that does nothing, one that harms, and ones that help."""

from collections.abc import Callable, Collection

import numpy as np
import pytest

from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.mapping_programmer import ProgrammedMapping
from protocols.deployment.mending.remedied import LEAST, Remedied, judged_remedy
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds, LevelResult
from twin import DigitalTwin

OWNERS = Collection[tuple[int, int]]
HEALTHY = {"mvm": 0.12, "kernel": 0.35, "impulse": 0.7}


def deployed(bundle: KernelBundle, inputs: FloatArray, **bounds: float) -> Deployment:
    """On healthy chips of always the same seeds."""
    labels = run_network(bundle, inputs).argmax(axis=1)
    arrays = [DigitalTwin("supert-a0-easy", seed=seed) for seed in (20, 21)]
    choices = DeploymentChoices(bounds=Bounds(**(HEALTHY | bounds)))
    return deploy(bundle, arrays, Sequences(inputs[:16], inputs[:64], labels[:64]), choices)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No remedy does anything unless a test plants one."""
    for name in ("arrange_for_products", "read_apart"):
        monkeypatch.setattr(ProgrammedMapping, name, lambda self: 0)
    for name in ("arrange_for_outputs", "program_finer"):
        monkeypatch.setattr(ProgrammedMapping, name, lambda self, owners: 0)


@pytest.mark.usefixtures("without")
def test_a_remedy_that_does_nothing_is_taken_back_and_what_was_measured_holds(
    bundle: KernelBundle, sequences: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = deployed(bundle, sequences, mvm=1e-3)
    assert alone.remedies == []  # nothing was changed
    monkeypatch.setattr(ProgrammedMapping, "read_apart", lambda self: 1)
    result = deployed(bundle, sequences, mvm=1e-3)
    (tried,) = result.remedies
    assert (tried.level, tried.remedy, tried.kept, tried.again) == ("mvm", "read apart", False, None)
    assert abs(tried.better) < LEAST
    assert [level.measured for level in result.levels[:2]] == [level.measured for level in alone.levels[:2]]
    assert result.pulses == alone.pulses
    assert "taken back" in str(tried)


@pytest.mark.usefixtures("without")
def test_a_remedy_that_harms_is_taken_back_with_its_cells(
    bundle: KernelBundle, sequences: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It brings every cell of two kernels to the bottom of the window."""
    alone = deployed(bundle, sequences, mvm=1e-3)

    def ruin(self: ProgrammedMapping) -> int:
        mask = np.zeros(self.mapping.shape, dtype=bool)
        for kernel in self.mapping.on(0)[:2]:
            mask[kernel.cells] = True
        self._run(0, np.full(self.mapping.shape, self.mapping.window.low), mask)
        self.mapping = self.mapping.__class__(**(vars(self.mapping) | {"abandoned": ((0, 0),)}))
        return 1

    monkeypatch.setattr(ProgrammedMapping, "arrange_for_products", ruin)
    result = deployed(bundle, sequences, mvm=1e-3)
    tried = result.remedies[0]
    assert not tried.kept
    assert tried.after > 2 * tried.before
    assert tried.again == pytest.approx(tried.before, rel=0.2)
    assert result.mapping.abandoned == alone.mapping.abandoned
    assert all(level.passed for level in result.levels if level.level != "mvm"), str(result)
    window = result.mapping.window
    off = np.abs(result.achieved[0] - alone.achieved[0])[np.isfinite(alone.achieved[0])]
    assert np.quantile(off, 0.99) < 0.07 * window.span
    assert result.accuracy == pytest.approx(alone.accuracy, abs=0.05)


@pytest.mark.parametrize("remedy", ["program finer", None])
def test_kernels_are_mended_where_no_cell_is_out_of_tolerance(
    bundle: KernelBundle, sequences: FloatArray, monkeypatch: pytest.MonkeyPatch, remedy: str | None
) -> None:
    """After programming the cells of all kernels move by .85 of the tolerance, which level cells cannot see."""
    program, finer = ProgrammedMapping.program, ProgrammedMapping.program_finer

    def then_move(self: ProgrammedMapping) -> None:
        program(self)
        if not self.reports or getattr(self, "was_moved", False):
            return
        self.was_moved = True  # type: ignore[attr-defined]
        for index, array in enumerate(self._arrays[: self.mapping.arrays]):
            rows, cols = self.mapping.shape
            signs = np.random.default_rng(index).choice([-0.85, 0.85], (rows, cols // 2, 1)) * [1, -1]
            mask = np.zeros(self.mapping.shape, dtype=bool)
            for kernel in self.mapping.on(index):
                mask[kernel.cells] = True
            assert isinstance(array, DigitalTwin)
            moved = array.cells.conductance + signs.reshape(rows, cols) * 0.07 * self.mapping.window.span * mask
            array.cells.conductance = np.where(mask, np.maximum(moved, 1e-7), array.cells.conductance)

    monkeypatch.setattr(ProgrammedMapping, "program", then_move)
    if remedy is None:
        monkeypatch.setattr(ProgrammedMapping, "program_finer", lambda self, owners: 0)
    calls: list[OWNERS] = []

    def counted(self: ProgrammedMapping, owners: OWNERS) -> int:
        calls.append(owners)
        return finer(self, owners)

    if remedy is not None:
        monkeypatch.setattr(ProgrammedMapping, "program_finer", counted)
    result = deployed(bundle, sequences, mvm=0.9, kernel=0.12, impulse=0.9, beyond=0.4, cells=0.8)
    kernel = next(level for level in result.levels if level.level == "kernel")
    if remedy is None:
        assert not kernel.passed  # null control: without it nothing helps
        return
    assert calls
    tried = next(each for each in result.remedies if each.remedy == remedy)
    assert tried.kept, str(tried)
    assert tried.better > 0.2
    assert kernel.passed, str(result)


def level(name: str, measured: float, passed: bool = False, **figures: float) -> LevelResult:
    return LevelResult(name, measured, 0.1, passed, "", figures)


@pytest.mark.parametrize(
    ("before", "after", "kept", "words"),
    [
        ([level("mvm", 0.20)], [level("mvm", 0.18)], True, "better by 10 %, kept"),
        ([level("mvm", 0.20)], [level("mvm", 0.182)], False, "better by 9 %, taken back"),
        ([level("mvm", 0.20)], [level("mvm", 0.20)], False, "better by 0 %, taken back"),
        ([level("mvm", 0.20)], [level("mvm", 0.30)], False, "worse by 50 %, taken back"),
        ([level("mvm", 0.101)], [level("mvm", 0.0999, True)], True, "kept"),
        ([level("mvm", 0.20)], [level("mvm", float("nan"))], False, "taken back"),
        ([level("cells", 0.90)], [level("cells", 0.91)], True, "better by 10 %"),  # of what was left
        ([level("cells", 0.90)], [level("cells", 0.89)], False, "worse by 10 %"),
        (
            [level("mvm", 0.2), level("cells", 0.96, True)],
            [level("mvm", 0.1), level("cells", 0.9)],
            False,
            "because level cells failed by it",
        ),
        ([level("kernel", 0.25, excess=0.4)], [level("kernel", 0.25, excess=0.2)], True, "better by 50 %"),
        ([level("kernel", 0.25, excess=0.4)], [level("kernel", 0.25, excess=0.4)], False, "better by 0 %"),
        ([level("task", 0.0)], [level("task", 0.01)], False, "taken back"),
    ],
)
def test_what_counts_as_help(before: list[LevelResult], after: list[LevelResult], kept: bool, words: str) -> None:
    found = judged_remedy(before[0].level, "remedy", before, after)
    assert found.kept is kept
    assert words in str(found)


def test_programming_again_may_help_the_cells_alone() -> None:
    before = [level("kernel", 0.25), level("cells", 0.96, True)]
    after = [level("kernel", 0.25), level("cells", 0.98, True)]
    judged: Callable[..., Remedied] = judged_remedy
    assert not judged("kernel", "program again", before, after).kept
    found = judged("kernel", "program again", before, after, ("cells",))
    assert found.kept
    assert str(found).endswith("kept, because level cells is better by it")
    assert not judged("kernel", "program again", before, [level("kernel", 0.28), after[1]], ("cells",)).kept
