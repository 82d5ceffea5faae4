"""Pruning, on nets of random numbers: what is dropped counts least, and all the rest is kept to the last digit."""

import pytest
import torch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.model.network import Architecture, S4DNetwork
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.pruning import channel_strength, kernel_cells, prune, state_strength
from imssa_lab.s4d.train.training import TrainedModel
from tests.s4d.test_bundle import CONFIG, make_task

TASK = make_task(8)
SIZES = Architecture(inputs=3, classes=2, channels=5, states=3, layers=2)
SILENT = [1, 3]


def model() -> TrainedModel:
    """Every number of it is drawn, so that none is what a new net has."""
    rng = torch.Generator().manual_seed(0)
    network = S4DNetwork(SIZES, rng)
    with torch.no_grad():
        for values in (*network.parameters(), *network.buffers()):
            if values.is_floating_point():
                values.copy_(values + 0.2 * torch.rand(values.shape, generator=rng))
    return TrainedModel(network.eval(), Precision(), CONFIG.model_copy(update={"states": 3, "channels": 5}), (), 0, 0)


def with_idle_parts() -> TrainedModel:
    """Nobody listens to two channels, and one state of each kernel says nothing, each time another one."""
    start = model()
    with torch.no_grad():
        for weight in (start.network.head.weight, start.network.mixes[0].weight):
            weight[:, SILENT] = 0.0  # type: ignore[index]
        for index in range(2):
            for channel in range(5):
                start.network.layer(index).c[channel, (channel + index) % 3] = 0.0
    return start


@pytest.mark.parametrize(("states", "channels"), [(2, None), (None, 3), (2, 3), (3, 5)])
def test_without_its_idle_parts_a_net_answers_the_same(states: int | None, channels: int | None) -> None:
    start = with_idle_parts()
    slim = prune(start, TASK, states=states, channels=channels)
    kept = slim.network.architecture
    assert (kept.states, kept.channels) == (states or 3, channels or 5)
    assert (slim.config.states, slim.config.channels) == (kept.states, kept.channels)
    inputs = torch.randn(6, 20, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(slim.network(inputs), start.network(inputs), rtol=1e-5, atol=1e-6)
    full = start.network.layer(0).output_converter.full_scale
    rest = [channel for channel in range(5) if channels is None or kept.channels == 5 or channel not in SILENT]
    assert torch.equal(slim.network.layer(0).output_converter.full_scale, full[rest])


def test_strengths_are_sums_of_squares_and_of_norms_of_columns() -> None:
    network = model().network
    states, channels = state_strength(network, 1), channel_strength(network)
    c = network.layer(1).c.detach()
    assert states.shape == (5, 3)
    for channel in range(5):
        expected = 0.0
        for index, following in enumerate((network.mixes[0], network.head)):
            column = following.weight[:, channel].tolist()  # type: ignore[index, union-attr]
            expected += abs(network.norm(index).weight[channel].item()) * sum(x * x for x in column) ** 0.5
        assert channels[channel].item() == pytest.approx(expected, rel=1e-6)
        for state in range(3):
            assert states[channel, state].item() == pytest.approx(sum(x * x for x in c[channel, state].tolist()))


@pytest.mark.parametrize("asked", [{"states": 0}, {"states": 4}, {"channels": 0}, {"channels": 6}])
def test_as_many_as_are_there_may_stay_and_at_least_one(asked: dict[str, int]) -> None:
    (name,) = asked
    with pytest.raises(ConfigError, match=f"{name}: this model has {3 if name == 'states' else 5}; ask for 1 to"):
        prune(model(), TASK, **asked)
    prune(model(), TASK, **{name: 1})


def test_the_cells_of_kernels_are_pairs_of_their_blocks() -> None:
    assert kernel_cells(channels=3, states=2, layers=4) == 4 * 3 * 2 * 25
