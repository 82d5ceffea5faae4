"""Draws the curves of profiles from the profiles alone: `python docs/profiles/draw.py [NAME ...]`.

Lines come from simulated cells of the twin, not from the published equations: a page shows what a user gets.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from imssa_lab.array_types import FloatArray
from twin import DigitalTwin, TwinProfile
from twin.profile import Timing

HERE = Path(__file__).parent
NAMES = ("hfox-cmo", "wan-2022", "milo-2021", "pcm-joshi")
CELLS = (100, 200)
TIMES = np.geomspace(1.0, 1e6, 19)
SHADES = ("#1b4965", "#2a9d8f", "#e76f51", "#7a5195")


def main(names: list[str]) -> None:
    """Draw these profiles, or all that have a page."""
    mpl.rcParams.update({"svg.hashsalt": "imssa_lab", "font.size": 9, "svg.fonttype": "none"})
    for name in names or NAMES:
        draw(TwinProfile.load(name), HERE / f"{name}.svg")


def draw(profile: TwinProfile, path: Path) -> None:
    """Panels of what the profile says: programming error, relaxation, read noise."""
    panels = [programming_error]
    if profile.relaxation is not None:
        panels += [mean_in_time, spread_in_time]
    if profile.read_noise.flicker is not None:
        panels.append(read_noise)
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels), 2.6), layout="constrained", squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        panel(axis, profile)
        axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    path.write_text(
        "\n".join(line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()) + "\n", "utf-8"
    )


def programming_error(axis: Axes, profile: TwinProfile) -> None:
    """Sd of 20,000 programmed cells over the target."""
    targets = np.linspace(profile.window.low, profile.window.high, 41)
    sd = [errors(profile.model_copy(update={"relaxation": None}), g, np.zeros(1))[0].std() for g in targets]
    axis.plot(targets * 1e6, np.array(sd) * 1e6, color=SHADES[0])
    axis.set(xlabel="target, µS", ylabel="sd after programming, µS", ylim=(0, None))


def mean_in_time(axis: Axes, profile: TwinProfile) -> None:
    """Mean displacement from the target."""
    for g, shade in zip(some_targets(profile), SHADES, strict=True):
        mean = errors(profile, g, TIMES).mean(axis=1)
        axis.semilogx(TIMES, mean * 1e6, color=shade, label=f"{g * 1e6:.3g} µS")
    low, high = axis.get_ylim()
    axis.set(xlabel="time since programming, s", ylabel="mean error, µS", ylim=(min(low, -0.2), max(high, 0.2)))
    axis.legend(fontsize=7)


def spread_in_time(axis: Axes, profile: TwinProfile) -> None:
    """Sd about the mean."""
    for g, shade in zip(some_targets(profile), SHADES, strict=True):
        axis.semilogx(TIMES, errors(profile, g, TIMES).std(axis=1) * 1e6, color=shade)
    axis.set(xlabel="time since programming, s", ylabel="sd, µS", ylim=(0, None))


def read_noise(axis: Axes, profile: TwinProfile) -> None:
    """Sd of a read about the cell's mean."""
    noise = profile.model_copy(update={"relaxation": None, "programming": TwinProfile.load("ideal").programming})
    targets = np.linspace(profile.window.low, profile.window.high, 41)
    sd = []
    for g in targets:
        twin = DigitalTwin(noise, CELLS, seed=1)
        twin.cells.conductance = np.full(CELLS, g)
        sd.append((twin.read_conductances() - g).std())
    axis.plot(targets * 1e6, np.array(sd) * 1e6, color=SHADES[0])
    axis.set(xlabel="conductance, µS", ylabel="sd of reads, µS", ylim=(0, None))


def some_targets(profile: TwinProfile) -> FloatArray:
    """Four conductances across the window, S."""
    return profile.window.low + np.array([0.1, 0.3, 0.6, 0.95]) * profile.window.span


def errors(profile: TwinProfile, target: float, times: FloatArray) -> FloatArray:
    """Conductance minus target at these times (s), without read noise: S, (times, cells)."""
    quiet = TwinProfile.load("ideal").read_noise
    timing = Timing(mvm=0.0, cell_read=0.0, pulse=0.0)
    twin = DigitalTwin(profile.model_copy(update={"timing": timing, "read_noise": quiet}), CELLS, seed=0)
    twin.program_conductances(np.full(CELLS, target))
    seen = []
    for time in times:
        twin.wait(float(time) - twin.time)
        seen.append(twin.cells.conductance.ravel() - target)
    return np.stack(seen)


if __name__ == "__main__":
    main(sys.argv[1:])
