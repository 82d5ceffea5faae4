"""Figures of quantisers and of small nets: levels, steps, gradients, poles and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imssa_lab.s4d.bundle import Levelling, Pooling
from imssa_lab.s4d.model.convolution import convolve, final_state, free_response, impulse_response, stabilised
from imssa_lab.s4d.model.network import Architecture, Block, S4DNetwork
from imssa_lab.s4d.model.poles import Initialisation, initial_frequencies, legs_frequencies
from imssa_lab.s4d.model.pooling import levelled, pooled
from imssa_lab.s4d.model.streaming import Stream
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.pole_forms import pole_form
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.pruning import channel_strength, kernel_cells, state_strength
from imssa_lab.s4d.quantise.quantisers import Converter, LearnedStep, Ternary, Uniform

CLOSE = 1e-4
"""Nets compute in single precision."""
WORDS = ("float", "ternary", "three-level", "2bit", "4bit", "8bit", "4bit, state=7", "4bit, increment=8")


def own(value: Tensor) -> np.ndarray:
    return value.detach().numpy().astype(np.float64)


def quantisers() -> Iterator[tuple[str, object]]:
    grid = torch.linspace(-1.7, 1.3, 12).reshape(3, 4)
    made: dict[str, nn.Module] = {"ternary": Ternary((1,)), "ternary whole": Ternary((0, 1))}
    for bits in (2, 3, 4, 8):
        made[f"uniform {bits}"] = Uniform(bits, (1,))
        made[f"learned {bits}"] = LearnedStep(bits, (0,), grid)
    for name, quantiser in made.items():
        weight = grid.clone().requires_grad_()
        given = quantiser(weight)
        (given * torch.arange(12.0).reshape(3, 4)).sum().backward()
        slopes = [own(one.grad) for one in (weight, *quantiser.parameters()) if one.grad is not None]
        yield name, [own(given), slopes]
    converter = Converter((3, 1), momentum=0.2)
    for bits in (2, 5, 8):
        converter.bits = bits
        for size in (1.0, 2.0, 0.3):
            x = (size * grid).requires_grad_()
            given = converter(x)
            given.sum().backward()
            yield (
                f"converter {bits} {size}",
                [own(given), own(converter.full_scale), own(x.grad if x.grad is not None else x)],
            )
    converter.eval()
    yield "frozen", [own(converter(3 * grid)), own(converter.full_scale)]


def poles() -> Iterator[tuple[str, object]]:
    angle = torch.linspace(0.0, 3.1, 12)
    size = torch.linspace(0.2, 1.05, 12)
    real, imaginary = size * torch.cos(angle), size * torch.sin(angle)
    for words in WORDS:
        precision = Precision.parse(words)
        rounded = pole_form(precision)(real, imaginary, 0.99)
        yield words, [precision, str(precision), [own(one) for one in rounded]]
        yield f"{words} says", [precision.rounds_recurrence, precision.is_float, precision.three_levels]
    yield "legs", own(legs_frequencies(5))
    kinds: tuple[Initialisation, ...] = ("lin", "legs", "inv", "real", "spread")
    for kind in kinds:
        yield kind, own(initial_frequencies(kind, 3, 4, torch.Generator().manual_seed(1)))


def convolutions() -> Iterator[tuple[str, object]]:
    rng = torch.Generator().manual_seed(2)
    transition = 0.6 * torch.randn(2, 3, 2, 2, generator=rng, dtype=torch.float64)
    b, c = torch.randn(2, 2, 3, 2, generator=rng, dtype=torch.float64)
    d = torch.tensor([0.3, -0.2], dtype=torch.float64)
    stable = stabilised(transition, 0.95)
    yield "stabilised", own(stable)
    kernel = impulse_response(stable, b, c, d, 7).requires_grad_()
    yield "response", own(kernel)
    u = torch.randn(2, 7, 2, generator=rng, dtype=torch.float64).requires_grad_()
    out = convolve(u, kernel)
    (out**2).sum().backward()
    yield "convolved", [own(out), [own(one.grad) for one in (u, kernel) if one.grad is not None]]
    state = final_state(stable, b, u.detach(), torch.zeros(2, 2, 3, 2, dtype=torch.float64))
    yield "state", [own(state), own(free_response(stable, c, state, 4))]
    features = torch.randn(2, 5, 3, generator=rng)
    ways: tuple[Pooling, ...] = ("mean", "max", "last")
    yield "pooled", [own(pooled(features, how)) for how in ways]
    levels: tuple[Levelling, ...] = ("none", "sequence", "running")
    yield "levelled", [own(levelled(features, how)) for how in levels]


def nets() -> Iterator[tuple[str, object]]:
    inputs = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(3))
    for words in WORDS:
        rng = torch.Generator().manual_seed(4)
        net = S4DNetwork(Architecture(inputs=2, classes=3, channels=4, states=2, layers=2), rng)
        net.train()
        net(inputs)
        net.set_precision(Precision.parse(words))
        net.eval()
        net.calibrate_states(inputs)
        net.train()
        out = net(inputs)
        (out**2).sum().backward()
        slopes = [own(one.grad) for one in net.parameters() if one.grad is not None]
        yield f"{words} trained", [own(out), [float(np.sqrt(np.mean(one**2))) for one in slopes]]
        net.eval()
        yield words, [own(net(inputs)), own(net.features(inputs)), [own(one) for one in net.layer(0).matrices()]]
        net.set_cell_errors(CellErrors.relative(0.1), torch.Generator().manual_seed(5), judged=True)
        net.train()
        yield f"{words} in cells", [own(net(inputs)), own(net.error_by_cells())]
    net.eval()
    net.set_cell_errors(None, rng)
    stream = Stream(net)
    yield "streamed", [own(stream.push(inputs[:1, start : start + 3])) for start in (0, 3, 6)]
    yield "strengths", [own(state_strength(net, 0)), own(channel_strength(net)), kernel_cells(4, 2, 2)]


def kinds() -> Iterator[tuple[str, object]]:
    """Nets of other poles, blocks and ends, each by a forward and a backward pass."""
    inputs = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(6))
    plain = Architecture(inputs=2, classes=3, channels=4, states=2, layers=2)
    changes: dict[str, dict[str, Any]] = {
        "norm before": {"block": Block(norm="before", activation="gelu", gate="glu")},
        "norm after": {"block": Block(norm="after", bidirectional=True)},
        "spread bilinear": {"initialisation": "spread", "discretisation": "bilinear"},
        "legs": {"initialisation": "legs", "leak": 0.5, "r_max": 0.9, "dt_range": (0.1, 0.5)},
        "without memory": {"memory": False, "pooling": "last"},
        "levelled": {"levelling": "running", "pooling": "max", "goal": "values"},
    }
    for name, change in changes.items():
        net = S4DNetwork(replace(plain, **change), torch.Generator().manual_seed(7))
        net.train()
        (net(inputs) ** 2).sum().backward()
        slopes = [float(one.grad.square().mean().sqrt()) for one in net.parameters() if one.grad is not None]
        net.eval()
        yield name, [own(net(inputs)), slopes, own(net.layer(0).kernel(6))]
        yield f"{name} unit", [own(net.scaled(inputs)), own(net.in_unit(net(inputs)))]


CASES: Mapping[str, Callable[[], object]] = {
    "quantisers": lambda: dict(quantisers()),
    "poles": lambda: dict(poles()),
    "convolutions": lambda: dict(convolutions()),
    "nets": lambda: dict(nets()),
    "kinds": lambda: dict(kinds()),
}
