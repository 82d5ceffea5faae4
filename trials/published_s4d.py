"""The S4D classifier of state-spaces from its published equations, by convolution in float64, keys as in its files.

Nothing of the project's own model is used: it is what imports are held against. Gu et al., arXiv 2206.11893 (diagonal
state spaces, zero-order hold, Vandermonde kernel); Goel et al., arXiv 2202.09729 (both directions); Hendrycks and
Gimpel, arXiv 1606.08415 (GELU); Dauphin et al., arXiv 1612.08083 (GLU); Ba et al., arXiv 1607.06450 (layer norm).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EPS = 1e-5
State = dict[str, Tensor]


def fresh(
    seed: int,
    *,
    inputs: int = 3,
    channels: int = 4,
    states: int = 3,
    layers: int = 2,
    classes: int = 3,
    both_ways: bool = False,
    dt: tuple[float, float] = (0.01, 0.2),
) -> State:
    """Random parameters, float32, by the keys of a checkpoint; every one is varied, norms and frequencies too."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int, spread: float = 1.0) -> Tensor:
        return spread * torch.randn(*shape, generator=rng)

    state = {
        "encoder.weight": normal(channels, inputs, spread=inputs**-0.5),
        "encoder.bias": normal(channels, spread=0.2),
        "decoder.weight": normal(classes, channels, spread=channels**-0.5),
        "decoder.bias": normal(classes, spread=0.2),
    }
    low, high = map(math.log, dt)
    for number in range(layers):
        layer, norm = f"s4_layers.{number}.", f"norms.{number}."
        ways = (2,) if both_ways else ()
        state |= {
            layer + "D": normal(channels),
            layer + "kernel.log_dt": low + (high - low) * torch.rand(channels, generator=rng),
            layer + "kernel.C": normal(*ways, channels, states, 2),
            layer + "kernel.log_A_real": math.log(0.5) + normal(channels, states, spread=0.3),
            layer + "kernel.A_imag": math.pi * torch.arange(states) + normal(channels, states, spread=0.3),
            layer + "output_linear.0.weight": normal(2 * channels, channels, 1, spread=channels**-0.5),
            layer + "output_linear.0.bias": normal(2 * channels, spread=0.2),
            norm + "weight": 1.0 + normal(channels, spread=0.2),
            norm + "bias": normal(channels, spread=0.2),
        }
    return state


def logits(
    state: Mapping[str, Tensor], sequences: Tensor, *, before: bool = False, last: bool = False, eps: float = EPS
) -> Tensor:
    """Logits (n, classes) in float64 of sequences (n, steps, inputs).

    Args:
        before: layer norms before the kernels; last: the decoder sees the last step instead of the mean.
    """
    p = {key: value.double() for key, value in state.items()}
    x = sequences.double() @ p["encoder.weight"].T + p["encoder.bias"]
    number = 0
    while f"s4_layers.{number}.D" in p:
        layer = {key.split(".", 2)[2]: value for key, value in p.items() if key.startswith(f"s4_layers.{number}.")}
        gain, shift = p[f"norms.{number}.weight"], p[f"norms.{number}.bias"]
        y = _convolved(layer, _normed(x, gain, shift, eps) if before else x)
        y = y / 2 * (1 + torch.erf(y / math.sqrt(2)))
        value, gate = (y @ layer["output_linear.0.weight"][..., 0].T + layer["output_linear.0.bias"]).chunk(2, -1)
        x = x + value / (1 + torch.exp(-gate))
        x = x if before else _normed(x, gain, shift, eps)
        number += 1
    return (x[:, -1] if last else x.mean(1)) @ p["decoder.weight"].T + p["decoder.bias"]


def trained(
    state: State, sequences: Tensor, classes: Tensor, *, before: bool = False, steps: int = 20, rate: float = 0.02
) -> State:
    """The parameters after some steps of Adam on labelled sequences (n, steps, inputs), (n,): float32 again."""
    held = {key: value.clone().requires_grad_() for key, value in state.items()}
    optimiser = torch.optim.Adam(held.values(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits(held, sequences, before=before), classes).backward()
        optimiser.step()
    return {key: value.detach() for key, value in held.items()}


def labelled(seed: int, n: int, steps: int, inputs: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sequences (n, steps, inputs) of noise with one of three inputs raised in their first half, and which, (n,)."""
    rng = np.random.default_rng(seed)
    sequences, classes = rng.normal(size=(n, steps, inputs)), rng.integers(3, size=n)
    sequences[np.arange(n), : steps // 2, classes] += 1.5
    return sequences.astype(np.float32), classes


def _convolved(layer: Mapping[str, Tensor], u: Tensor) -> Tensor:
    """y (n, steps, H) of u (n, steps, H): every channel with its kernel, and D."""
    steps = u.shape[1]
    dt = layer["kernel.log_dt"].exp()[:, None]
    a = torch.complex(-layer["kernel.log_A_real"].exp(), layer["kernel.A_imag"])
    c = torch.view_as_complex(layer["kernel.C"].contiguous())
    powers = torch.exp((dt * a)[..., None] * torch.arange(steps))  # Vandermonde: (H, N, steps)
    kernels = 2 * torch.einsum("...hn,hnl->...hl", c * (torch.exp(dt * a) - 1) / a, powers).real
    if kernels.dim() == 2:
        line = torch.cat([kernels, torch.zeros_like(kernels)], -1)
    else:  # on a circle of twice the length, the second kernel runs backwards from the last place
        line = torch.cat([kernels[0], kernels[1].flip(-1)], -1)
    spectrum = torch.fft.rfft(line, n=2 * steps) * torch.fft.rfft(u.transpose(1, 2), n=2 * steps)
    outputs: Tensor = torch.fft.irfft(spectrum, n=2 * steps)[..., :steps].transpose(1, 2)
    return outputs + layer["D"] * u


def _normed(x: Tensor, gain: Tensor, shift: Tensor, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return gain * (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + eps) + shift
