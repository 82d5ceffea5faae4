"""The S4D layer forward and backward beside one that builds the Vandermonde matrix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.bars import Bars
from benchmarks.timing import seconds
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Poles

CHANNELS, STATES, BATCH = 64, 64, 16


def layer() -> S4DLayer:
    """The layer of the bars."""
    rng = torch.Generator().manual_seed(0)
    return S4DLayer(Poles(CHANNELS, STATES, rng), rng)


def vandermonde(model: S4DLayer, u: Tensor) -> Tensor:
    """The same layer in the plain way: all powers of all poles, one sum, one convolution by FFT."""
    transition, b, c, d = model.matrices()
    steps = u.shape[1]
    pole = torch.complex(transition[..., 0, 0], transition[..., 1, 0])
    weight = torch.complex(c[..., 0], -c[..., 1]) * b[..., 0]
    powers = torch.exp(torch.log(pole)[..., None] * torch.arange(steps - 1))
    tail = torch.einsum("hn,hnl->hl", weight, powers).real
    kernel = torch.cat([d[:, None], tail], -1)
    spectrum = torch.fft.rfft(u, 2 * steps, dim=1) * torch.fft.rfft(kernel.T, 2 * steps, dim=0)
    outputs: Tensor = torch.fft.irfft(spectrum, 2 * steps, dim=1)[:, :steps]
    return outputs


def once(way: str, steps: int) -> None:
    """One forward and backward."""
    model = layer()
    u = torch.randn(BATCH, steps, CHANNELS, generator=torch.Generator().manual_seed(1))
    outputs = model(u) if way == "ours" else vandermonde(model, u)
    outputs.square().mean().backward()


def measure(bars: Bars) -> None:
    """Agreement, time at 8,000 steps, peak memory at 16,000."""
    torch.set_num_threads(1)
    with torch.no_grad():
        model, u = layer().double(), torch.randn(2, 500, CHANNELS, dtype=torch.float64)
        difference = float((model(u) - vandermonde(model, u)).abs().max())
    bars.check("the reference computes the same, largest difference", difference, "<=", 1e-6)
    steps, repeats = bars.size(8000, smoke=100), bars.size(3, smoke=1)
    ours, plain = (seconds(lambda w=way: once(w, steps), repeats) for way in ("ours", "plain"))  # type: ignore[misc]
    bars.check("layer, forward and backward, times faster", plain / ours, ">=", 3, f"{plain:.2f} s / {ours:.2f} s")
    if bars.smoke:
        bars.check("peak memory at 64 steps, MB", peak("ours", 64), ">=", 0)
        return
    base, own, theirs = (peak(way, steps) for way, steps in (("ours", 64), ("ours", 16000), ("plain", 16000)))
    bars.check(
        "peak memory at 16,000 steps, times lower", (theirs - base) / (own - base), ">=", 4, f"{own - base:.0f} MB"
    )


def peak(way: str, steps: int) -> float:
    """Peak memory of a process that does it once, MB."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.s4d", way, str(steps)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    torch.set_num_threads(1)
    once(sys.argv[1], int(sys.argv[2]))
    # of this program alone: what getrusage says would include the one that started it
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
