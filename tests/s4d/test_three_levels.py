"""Three levels are three: what the cells of a "three-level" model hold, counted after mapping, to the last bit."""

import numpy as np
import pytest
import torch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.mapping.magnitudes import magnitudes, needs
from imssa_lab.mapping.placement import blocks_of
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.settings import Stage, TrainingConfig
from imssa_lab.s4d.train.training import train
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from twin import DigitalTwin

CONFIG = TrainingConfig(
    channels=8,
    states=2,
    full=Stage(epochs=2, rate=8e-3, pole_share=0.2),
    quantised=Stage(epochs=2, rate=2e-2, pole_share=0.5),
)


def a_task() -> Task:
    rng = np.random.default_rng(0)
    splits = []
    for count in (96, 32, 64):
        inputs = rng.standard_normal((count, 8, 3)).astype(np.float32)
        classes = rng.integers(2, size=count)
        inputs[:, 0] += 3 * (2 * classes[:, None] - 1)
        splits.append((inputs, classes.astype(np.int64)))
    return Task("sign", splits[0], splits[1], splits[2], ("minus", "plus"), "none", "made here")


def trained(words: str) -> tuple[KernelBundle, Task]:
    task = a_task()
    return to_bundle(train(task, CONFIG.model_copy(update={"precision": Precision.parse(words)})), task), task


@pytest.fixture(scope="module")
def three() -> tuple[KernelBundle, Task]:
    return trained("three-level")


def test_cells_hold_one_magnitude_and_zero(three: tuple[KernelBundle, Task]) -> None:
    blocks = [block for _, _, block in blocks_of(three[0], (64, 64))]
    assert magnitudes(blocks).tolist() == [1.0]
    assert {float(weight) for block in blocks for weight in block.weights.ravel()} == {-1.0, 0.0, 1.0}
    assert needs(three[0], (64, 64)).magnitudes == (1, 1)


@pytest.mark.parametrize("words", ["ternary", "three-level, d=8", "three-level, b=float", "4bit"])
def test_other_precisions_hold_more(words: str) -> None:
    """The null control of the test above."""
    assert min(needs(trained(words)[0], (64, 64)).magnitudes) > 5


def test_on_an_ideal_array_the_kernels_are_those_of_the_software(three: tuple[KernelBundle, Task]) -> None:
    bundle, task = three
    inputs = task.test[0].astype(np.float64)
    labels = run_network(bundle, inputs).argmax(axis=1)
    with DigitalTwin("ideal", (64, 64), seed=0) as array:
        done = deploy(bundle, [array, DigitalTwin("ideal", (64, 64), seed=1)], Sequences(inputs[:8], inputs, labels))
    assert done.passed
    assert done.accuracy == 1.0
    assert {kernel.block.form for kernel in done.mapping.kernels} == {"delta"}
    levels = {float(value) for target in done.targets for value in target[np.isfinite(target)]}
    assert len(levels) == 2, "every cell is at the bottom or at the top of the window"


def test_tying_b_leaves_the_kernels_as_they_were() -> None:
    rng = torch.Generator().manual_seed(0)
    layer = S4DLayer(Poles(5, 3, rng), rng)
    before = layer.kernel(60).detach()
    layer.set_precision(Precision(b="tied"))
    real, _ = layer.poles()
    assert torch.allclose(layer.matrices()[1][..., 0], 1 - real)
    assert torch.allclose(layer.kernel(60), before, atol=1e-5)


def test_errors_of_cells_are_those_of_their_column() -> None:
    """A slow pole's cells share a small digital gain, so their errors act with that gain and not with the largest."""
    rng = torch.Generator().manual_seed(0)
    layer = S4DLayer(Poles(1, 2, rng), rng)
    with torch.no_grad():
        layer.poles.log_dt.fill_(0.0)
        layer.poles.a_re.copy_(torch.tensor([[0.01, 0.5]]).log())
        layer.poles.a_im.zero_()
    layer.set_precision(Precision.parse("three-level"))
    exact = [part.detach() for part in layer.matrices()]
    errors = CellErrors.relative(0.01)
    drawn = [layer._in_cells(errors, *exact) for _ in range(400)]
    slow, fast = torch.stack([held[0][0, :, 0, 0] for held in drawn]).std(0)
    gains = 1 - exact[0][0, :, 0, 0]
    assert float(slow / gains[0]) == pytest.approx(0.01, rel=0.2)
    assert float(fast / gains[1]) == pytest.approx(0.01, rel=0.2)
    assert float(torch.stack([held[3][0] for held in drawn]).std(0)) > 0, "d lies in a cell too"


@pytest.mark.parametrize("words", ["4bit, b=tied", "4bit, d=tied", "three-level, form=direct", "three-level, c=4"])
def test_what_cannot_share_a_magnitude_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="tied takes the"):
        Precision.parse(words)


def test_its_words_are_read_back() -> None:
    for words in ("three-level", "three-level, head=8", "ternary", "ternary, b=tied"):
        assert Precision.parse(str(Precision.parse(words))) == Precision.parse(words)
    assert str(Precision.parse("three-level")) == "three-level"
    assert Precision.parse("three-level").three_levels
    assert not Precision.parse("ternary").three_levels
