"""Structured pruning: whole states and whole channels go, and their cells with them.

Quantisation makes many of them idle (Siegel et al., QS4D, arXiv 2507.06079); `train_quantised` from the pruned model
lets the rest take over.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.model.network import Architecture, QuantisedLinear, S4DNetwork
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.epochs import Progress
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.settings import TrainingConfig
from imssa_lab.s4d.train.training import TrainedModel, train_float, train_quantised


def kernel_cells(channels: int, states: int, layers: int) -> int:
    """Cells that the kernels' blocks take: 2 (2N + 1)^2 each, a differential pair per weight."""
    return layers * channels * 2 * (2 * states + 1) ** 2


def prune(model: TrainedModel, task: Task, *, states: int | None = None, channels: int | None = None) -> TrainedModel:
    """A smaller copy of a float model, without the weakest states of each kernel and the weakest channels.

    A state counts by |c|^2, the energy of its part of the impulse response (states are normalised to unit energy). A
    channel counts by what batch norm lets through of it times what the next map makes of it, over all layers.

    Args:
        states, channels: how many are to stay; None for all.

    Raises:
        ConfigError: the model is quantised already, or so many are not there.
    """
    old = model.network
    if not model.precision.is_float:
        raise ConfigError(f"pruning takes a float model, this one is {model.precision}; prune first, then quantise")
    _check("states", states, old.architecture.states)
    _check("channels", channels, old.architecture.channels)
    architecture = replace(
        old.architecture,
        states=states or old.architecture.states,
        channels=channels or old.architecture.channels,
    )
    network = _copy(old, architecture)
    config = model.config.model_copy(update={"states": architecture.states, "channels": architecture.channels})
    validation, test = accuracy(network, task.validation), accuracy(network, task.test)
    return TrainedModel(network, Precision(), config, model.history, validation, test)


def train_pruned(
    task: Task,
    config: TrainingConfig,
    *,
    states: int | None = None,
    channels: int | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
) -> TrainedModel:
    """Train in float, prune, and train the smaller net at `config.precision`, so that the rest takes over.

    Args:
        states, channels: how many are to stay; None for all.
        checkpoint: as for `train`; the smaller net has one of its own, `checkpoint_of_pruned`.

    Raises:
        ConfigError: the precision is float, so that nothing would be trained again, or so many are not there.
        TrainingError: as for `train`.
    """
    if config.precision.is_float:
        raise ConfigError("a pruned net is trained further at its precision, and this one is float; choose few bits")
    _check("states", states, config.states)
    _check("channels", channels, config.channels)
    start = prune(
        train_float(task, config, progress=progress, checkpoint=checkpoint), task, states=states, channels=channels
    )
    own = None if checkpoint is None else checkpoint_of_pruned(checkpoint)
    return train_quantised(start, task, config.precision, progress=progress, checkpoint=own)


def checkpoint_of_pruned(checkpoint: str | Path) -> Path:
    """The file that keeps the training of the smaller net, beside that of the whole one."""
    return Path(checkpoint).with_suffix(f".pruned{Path(checkpoint).suffix}")


def _check(name: str, asked: int | None, there: int) -> None:
    if asked is not None and not 1 <= asked <= there:
        raise ConfigError(f"pruning to {asked} {name}: this model has {there}; ask for 1 to {there}")


def state_strength(network: S4DNetwork, index: int) -> Tensor:
    """|c|^2 of every state of a layer, (H, N)."""
    return network.layer(index).c.detach().square().sum(-1)


def channel_strength(network: S4DNetwork) -> Tensor:
    """How much every channel counts, (H,)."""
    maps = [network.mixes[index] for index in range(len(network.mixes))] + [network.head]
    strength = torch.zeros(network.architecture.channels)
    for index, following in enumerate(maps):
        assert isinstance(following, QuantisedLinear)
        strength += network.norm(index).weight.detach().abs() * following.weight.detach().norm(dim=0)
    return strength


def _copy(old: S4DNetwork, architecture: Architecture) -> S4DNetwork:
    kept = channel_strength(old).topk(architecture.channels).indices.sort().values
    new = S4DNetwork(architecture, torch.Generator().manual_seed(0))
    with torch.no_grad():
        _take(new.encoder, old.encoder, kept, slice(None))
        _take(new.head, old.head, slice(None), kept)
        for index in range(len(old.mixes)):
            source, goal = old.mixes[index], new.mixes[index]
            assert isinstance(source, QuantisedLinear)
            assert isinstance(goal, QuantisedLinear)
            goal.weight.copy_(source.weight[kept][:, kept])
            goal.bias.copy_(source.bias[kept])
        for index in range(len(old.kernels)):
            _copy_kernels(old, new, index, kept)
            for name, values in new.norm(index).state_dict().items():
                found = old.norm(index).state_dict()[name]
                values.copy_(found[kept] if found.dim() else found)
        for source_module, goal_module in zip(_converters(old), _converters(new), strict=True):
            goal_module.load_state_dict(source_module.state_dict())
        for name in ("value_mean", "value_scale") if architecture.goal == "values" else ():
            new.get_buffer(name).copy_(old.get_buffer(name))
    return new.eval()


def _copy_kernels(old: S4DNetwork, new: S4DNetwork, index: int, kept: Tensor) -> None:
    source, goal = old.layer(index), new.layer(index)
    strongest = state_strength(old, index)[kept].topk(goal.c.shape[1], dim=1).indices.sort(dim=1).values
    goal.poles.log_dt.copy_(source.poles.log_dt[kept])
    goal.poles.a_re.copy_(source.poles.a_re[kept].gather(1, strongest))
    goal.poles.a_im.copy_(source.poles.a_im[kept].gather(1, strongest))
    goal.c.copy_(source.c[kept].gather(1, strongest[..., None].expand(-1, -1, 2)))
    goal.d.copy_(source.d[kept])
    goal.output_converter.full_scale.copy_(source.output_converter.full_scale[kept])


def _take(goal: QuantisedLinear, source: QuantisedLinear, rows: Tensor | slice, columns: Tensor | slice) -> None:
    goal.weight.copy_(source.weight[rows][:, columns])
    goal.bias.copy_(source.bias[rows])


def _converters(network: S4DNetwork) -> list[nn.Module]:
    return [
        network.encoder_converter,
        network.head_converter,
        *network.layer_converters,
        *network.relu_converters,
    ]
