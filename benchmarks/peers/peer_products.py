"""Times of aihwkit or aihwkit-lightning, run by `environments.times` in the environment of that package."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.timing import seconds

SIZE = 64
_STEPS = 1000


def measured(peer: str, vectors: list[int], sequences: list[int], steps: int, repeats: int) -> dict[str, float]:
    """Seconds of products, closed loops and, where the package sends pulses, of programming.

    Args:
        vectors: numbers of vectors of one product; sequences: of closed loops of so many steps.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    products = {"aihwkit": _aihwkit, "lightning": _lightning}[peer]()
    found = {}
    with torch.no_grad():
        for name, product in products.items():
            for n in vectors:
                drive = torch.rand(n, SIZE)
                found[f"{name}, batch {n}"] = seconds(lambda p=product, v=drive: p(v), repeats)  # type: ignore[misc]
            for n in sequences:
                found[f"{name}, closed loop, batch {n}"] = seconds(
                    lambda p=product, m=n: _closed_loop(p, m, steps),  # type: ignore[misc]
                    min(repeats, 3),
                )
    if peer == "aihwkit":
        found["programmed by pulses"] = seconds(_programmed_by_pulses, min(repeats, 3))
    return found


def _closed_loop(product: Callable[[Any], Any], sequences: int, steps: int) -> None:
    """A state that every product of the array is added to, between two of which it stays within its range."""
    state = torch.zeros(sequences, SIZE)
    for _ in range(steps):
        state = torch.clamp(0.9 * state + product(state), -1.0, 1.0)


def _aihwkit() -> dict[str, Callable[[Any], Any]]:
    from aihwkit.nn import AnalogLinear
    from aihwkit.simulator.configs import InferenceRPUConfig

    layer = AnalogLinear(SIZE, SIZE, bias=False, rpu_config=InferenceRPUConfig())
    tile = next(layer.analog_tiles())
    return {"layer": layer, "raw tile": tile.tile.forward}


def _lightning() -> dict[str, Callable[[Any], Any]]:
    from aihwkit_lightning.nn import AnalogLinear
    from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig

    config = TorchInferenceRPUConfig()
    config.forward.inp_res, config.forward.out_res, config.forward.out_bound = 2**8 - 2, 2**8 - 2, 12.0
    config.forward.out_noise = 0.06
    config.pre_post.input_range.enable = True
    layer = AnalogLinear(SIZE, SIZE, bias=False, rpu_config=config)
    layer.eval()
    return {"layer": layer}


def _programmed_by_pulses() -> None:
    from aihwkit.nn import AnalogLinear
    from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig

    torch.manual_seed(0)
    layer = AnalogLinear(SIZE, SIZE, bias=False, rpu_config=SingleRPUConfig(device=ConstantStepDevice()))
    layer.set_weights(0.5 * (2.0 * torch.rand(SIZE, SIZE) - 1.0))
    next(layer.analog_tiles()).program_weights()


if __name__ == "__main__":
    print(json.dumps(measured(**json.loads(sys.argv[1]))))
