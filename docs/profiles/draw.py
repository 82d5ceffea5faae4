"""Draws the curves of profiles from the profiles alone: `python docs/profiles/draw.py [NAME ...]`.

Lines come from simulated cells of the twin, not from the published equations: a page shows what a user gets. Every
panel is a picture of its own: they flow with the page, so that their text has its full size on a phone too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.report.plots.style import BLUE, GREEN, ORANGE, PURPLE, legend_below, one_axis
from imssa_lab.report.svg import svg_for_pages
from twin import DigitalTwin, TwinProfile
from twin.profile import Timing

HERE = Path(__file__).parent
NAMES = ("ideal", "supert-a0-easy", "supert-a0", "supert-a0-wired", "hfox-cmo", "wan-2022", "milo-2021", "pcm-joshi")
CELLS = (100, 200)
TIMES = np.geomspace(1.0, 1e6, 19)
SHADES = (BLUE, GREEN, ORANGE, PURPLE)
ARRAY = (64, 64)
SHARES = np.linspace(0.0, 1.0, 201)


def main(names: list[str]) -> None:
    """Draw these profiles, or all that have a page."""
    for name in names or NAMES:
        draw(TwinProfile.load(name), HERE)


def draw(profile: TwinProfile, folder: Path) -> None:
    """Panels of what the profile says: pulses or programming error, relaxation, read noise, products."""
    for panel in panels_of(profile):
        figure, axis = one_axis(3.0)
        panel(axis, profile)
        legend_below(axis, columns=3 if len(axis.get_legend_handles_labels()[0]) == 3 else 2)
        axis.grid(alpha=0.3)
        axis.patch.set_alpha(0.0)
        with rc_context({"svg.fonttype": "none"}):
            text = svg_for_pages(figure)
        path = folder / picture_of(profile.name, panel)
        path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", "utf-8")


def picture_of(name: str, panel: Callable[[Axes, TwinProfile], None]) -> str:
    """The file's name of a panel of the profile with this name."""
    return f"{name}-{panel.__name__.replace('_', '-')}.svg"


def panels_of(profile: TwinProfile) -> list[Callable[[Axes, TwinProfile], None]]:
    """What there is to see of a profile: nothing of what is perfect in it because nothing was published."""
    by_statistics = profile.programming is not None and profile.programming.law != "exact"
    if not by_statistics:
        by_pulses = [set_pulses, reset_pulses]
        if profile.programming is not None:
            return [*by_pulses, products]
        return [*by_pulses, left_by_recipe, noise_of_cells, products, product_errors]
    panels = [programming_error]
    if profile.relaxation is not None:
        panels += [mean_in_time, spread_in_time]
    if profile.read_noise.flicker is not None:
        panels.append(read_noise)
    return panels


def set_pulses(axis: Axes, profile: TwinProfile) -> None:
    """What SET pulses of rising voltage reach at several gate voltages: median and middle 80 % of the cells."""
    voltages = np.linspace(0.4, 1.6, 49)
    for gate, shade in zip((0.6, 0.9, 1.2, 1.5), SHADES, strict=True):
        twin = DigitalTwin(profile, ARRAY, seed=0)
        sweep(axis, twin, PulseKind.SET, voltages, gate, 1e-3, (shade, f"gate {gate:g} V"))
    axis.set(xlabel="voltage of SET pulses, V", ylabel="conductance, µS", ylim=(0, None))


def reset_pulses(axis: Axes, profile: TwinProfile) -> None:
    """What RESET pulses of rising voltage leave of cells at 400 uS."""
    voltages = np.linspace(0.3, 1.5, 49)
    for width, shade in zip((10e-6, 1e-3), SHADES, strict=False):
        twin = DigitalTwin(profile, ARRAY, seed=0)
        twin.cells.conductance = np.where(twin.cells.stuck, twin.cells.conductance, 400e-6)
        sweep(axis, twin, PulseKind.RESET, voltages, 5.0, width, (shade, f"{width * 1e3:g} ms"))
    axis.set(xlabel="voltage of RESET pulses, V", ylabel="conductance, µS", ylim=(0, None))


def sweep(
    axis: Axes,
    twin: DigitalTwin,
    kind: PulseKind,
    voltages: FloatArray,
    gate: float,
    width: float,
    drawn: tuple[str, str],
) -> None:
    """One pulse of each voltage on all cells that are not stuck, drawn with a shade and a label."""
    mask, seen = ~twin.cells.stuck, []
    for voltage in voltages:
        twin.apply_pulses(Pulses.on(mask, kind, float(voltage), gate, width))
        seen.append(np.quantile(twin.cells.conductance[mask] * 1e6, [0.1, 0.5, 0.9]))
    low, middle, high = np.transpose(seen)
    axis.plot(voltages, middle, color=drawn[0], label=drawn[1])
    axis.fill_between(voltages, low, high, color=drawn[0], alpha=0.2, linewidth=0)


def left_by_recipe(axis: Axes, profile: TwinProfile) -> None:
    """Distances from targets uniform over 2 to 100 uS after the profile's own recipe, by one independent read."""
    for seed in range(3):
        twin, target = programmed(profile, seed)
        distance = np.abs(twin.read_conductances() - target) * 1e6
        axis.plot(np.quantile(distance, SHARES), SHARES, color=SHADES[seed], label=f"chip {seed}")
    axis.set(xlabel="distance from target, µS", ylabel="share of cells", xlim=(0, 20), ylim=(0, 1))


def noise_of_cells(axis: Axes, profile: TwinProfile) -> None:
    """Sd of 500 reads of each cell, columns at 0.8 to 98 uS as in the published measurement."""
    for seed in range(3):
        twin = DigitalTwin(profile, ARRAY, seed)
        twin.cells.conductance = np.tile(np.linspace(0.8e-6, 98e-6, ARRAY[1]), (ARRAY[0], 1))
        sd = np.std([twin.read_conductances() for _ in range(500)], axis=0) * 1e6
        axis.semilogx(np.quantile(sd, SHARES), SHARES, color=SHADES[seed], label=f"chip {seed}")
    axis.set(xlabel="sd of the reads of a cell, µS", ylabel="share of cells", xlim=(0.02, 30), ylim=(0, 1))


def products(axis: Axes, profile: TwinProfile) -> None:
    """Raw products of one-bit inputs over what they should be, on three bit lines."""
    measured, ideal = products_of(profile, seed=0)
    for column, shade in zip((5, 20, 51), SHADES, strict=False):
        axis.plot(ideal[:, column], measured[:, column], ".", ms=2, color=shade)
        axis.plot([], [], ".", ms=8, color=shade, label=f"bit line {column}")
    top = float(ideal[:, (5, 20, 51)].max())
    axis.plot((0, top), (0, top), color="0.5", linewidth=0.8)
    axis.set(xlabel="input times target, mS", ylabel="raw product, mS")


def product_errors(axis: Axes, profile: TwinProfile) -> None:
    """What is left of the errors of products after the line of each bit line, on three chips."""
    for seed in range(3):
        measured, ideal = products_of(profile, seed)
        lines = [np.polyval(np.polyfit(m, i, 1), m) - i for m, i in zip(measured.T, ideal.T, strict=True)]
        error = np.abs(np.concatenate(lines)) * 1e3
        axis.plot(np.quantile(error, SHARES), SHARES, color=SHADES[seed], label=f"chip {seed}")
    axis.set(xlabel="error of a product after correction, µS", ylabel="share", xlim=(0, 250), ylim=(0, 1))


def programmed(profile: TwinProfile, seed: int) -> tuple[DigitalTwin, FloatArray]:
    """A chip after its own recipe, and the targets in S: uniform over 2 to 100 uS."""
    twin, target = DigitalTwin(profile, ARRAY, seed), np.random.default_rng(seed).uniform(2e-6, 100e-6, ARRAY)
    twin.program_conductances(target)
    return twin, target


def products_of(profile: TwinProfile, seed: int) -> tuple[FloatArray, FloatArray]:
    """Raw and ideal products of 200 random one-bit vectors on bit lines that work, mS, (vectors, bit lines)."""
    twin, target = programmed(profile, seed)
    numbers = np.random.default_rng([seed, 1]).integers(0, 2, (200, ARRAY[0]))
    volt, works = twin.profile.read_voltage, ~twin.cells.faults.bits
    return 1e3 * twin.read_mvm(volt * numbers)[:, works] / volt, 1e3 * (numbers @ target)[:, works]


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


def spread_in_time(axis: Axes, profile: TwinProfile) -> None:
    """Sd about the mean."""
    for g, shade in zip(some_targets(profile), SHADES, strict=True):
        sd = errors(profile, g, TIMES).std(axis=1)
        axis.semilogx(TIMES, sd * 1e6, color=shade, label=f"{g * 1e6:.3g} µS")
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
