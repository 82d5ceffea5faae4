"""Wires: golden currents, the laws of circuits, the fast path against the full solve, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.bars import Bars
from imssa_lab.contract.hal import FloatArray
from trials.irdrop import irdrop_cases
from twin.wires.nodal import CubicCells, solve
from twin.wires.wire_resistance import WiredView, Wires, effective_matrix, sensitivity, turned

UNIFORM = {32: (0.962813, 0.918459), 64: (0.875718, 0.740063), 128: (0.661934, 0.411157), 256: (0.381590, 0.138181)}


def measure(bars: Bars) -> None:
    """Every bar of the wires, then times without a bar."""
    golden(bars)
    uniform(bars)
    laws(bars)
    nonlinear(bars)
    noise()
    cost(bars.size([(64, 15), (128, 5), (256, 2)], smoke=[(8, 1)]))


def golden(bars: Bars) -> None:
    """All golden cases through both paths, and with the wires exchanged."""
    worst = {"effective matrix": 0.0, "full solve": 0.0}
    exchanged = []
    cases = irdrop_cases()[: bars.size(None, smoke=4)]
    for case in cases:
        for name, current in (
            ("effective matrix", case.drive @ effective_matrix(case.conductance, case.wires)),
            ("full solve", solve(case.conductance, case.wires, case.drive[None]).current[0]),
        ):
            worst[name] = max(worst[name], case.error(current))
        if turned(case.wires) != case.wires and case.conductance.size > 1:
            exchanged.append(case.error(case.drive @ effective_matrix(case.conductance, turned(case.wires))))
    for name, error in worst.items():
        bars.check(f"IR drop, {name}, worst of {len(cases)} golden cases, of full scale", error, "<=", 1e-9)
    bars.check("IR drop, null control: word and bit wires exchanged, of full scale", min(exchanged), ">=", 1e-4)


def uniform(bars: Bars) -> None:
    """First and last current of arrays of equal cells."""
    worst = 0.0
    for size, published in list(UNIFORM.items())[: bars.size(None, smoke=1)]:
        share = effective_matrix(np.full((size, size), 100e-6), Wires(r_word=1, r_bit=1)).sum(axis=0) / size / 100e-6
        worst = max(worst, float(np.abs(share[[0, -1]] - published).max()))
    bars.check("IR drop, uniform arrays of 32 to 256, share of the ideal current", worst, "<=", 6e-7, "six digits")


def random_circuits(count: int) -> Iterator[tuple[FloatArray, FloatArray, Wires]]:
    """Arrays of 1 to 40 lines with open cells, two drives each, every resistance there or not."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        rows, cols = rng.integers(1, 41, 2)
        conductance = np.exp(rng.uniform(np.log(1e-6), np.log(1e-3), (rows, cols))) * (rng.random((rows, cols)) > 0.1)
        names = ("r_word", "r_bit", "r_in", "r_out", "r_access")
        there = np.exp(rng.uniform(np.log(1e-3), np.log(200.0), 5)) * (rng.random(5) > 0.3)
        yield conductance, rng.uniform(-0.2, 0.2, (2, rows)), Wires(**dict(zip(names, there.tolist(), strict=True)))


def laws(bars: Bars) -> None:
    """Properties over 200 random circuits."""
    power = linear = reciprocal = fast = limit = 0.0
    for conductance, drive, wires in random_circuits(bars.size(200, smoke=5)):
        scale = max(float((np.abs(drive) @ conductance).max()), 1e-12)
        largest = max(float(conductance.max()), 1e-12)
        got, matrix = solve(conductance, wires, drive), effective_matrix(conductance, wires)
        power = max(power, float(np.abs(got.supplied - got.dissipated).max() / max(got.dissipated.max(), 1e-15)))
        fast = max(fast, float(np.abs(drive @ matrix - got.current).max() / scale))
        mixed = solve(conductance, wires, np.array([[0.7, -1.3]]) @ drive).current
        linear = max(linear, float(np.abs(mixed - np.array([[0.7, -1.3]]) @ got.current).max() / scale))
        back = solve(conductance.T[::-1, ::-1], turned(wires), np.eye(conductance.shape[1])).current[::-1, ::-1].T
        reciprocal = max(reciprocal, float(np.abs(back - matrix).max() / largest))
        none = Wires(r_word=0, r_bit=0)
        limit = max(limit, float(np.abs(solve(conductance, none, drive).current - drive @ conductance).max() / scale))
        limit = max(limit, float(np.abs(effective_matrix(conductance, none) - conductance).max() / largest))
    note = "worst of 200 random circuits"
    bars.check("wires, power balance, relative", power, "<=", 1e-10, note)
    bars.check("wires, effective matrix against full solve, of full scale", fast, "<=", 1e-9, note)
    bars.check("wires, linearity, of full scale", linear, "<=", 1e-12, note)
    bars.check("wires, reciprocity, of the largest conductance", reciprocal, "<=", 1e-10, note)
    bars.check("wires, none at all against V @ G, of full scale", limit, "<=", 1e-12, note)


def nonlinear(bars: Bars) -> None:
    """Cubic cells by Newton steps: residual and power balance."""
    worst, power = 0.0, 0.0
    for index, (conductance, drive, wires) in enumerate(random_circuits(bars.size(30, smoke=2))):
        got = solve(CubicCells(conductance, 1.0 + index), wires, drive)
        worst = max(worst, float(got.residual.max()))
        power = max(power, float(np.abs(got.supplied - got.dissipated).max() / max(got.dissipated.max(), 1e-15)))
    note = "30 random circuits of cubic cells, b of 1 to 30 / V^2"
    bars.check("wires, residual of the voltage law with nonlinear cells", worst, "<=", 1e-12, note)
    bars.check("wires, power balance with nonlinear cells", power, "<=", 1e-10, note)


def noise() -> None:
    """How far the noise of an output is from its exact law, by the adjoint of the full solve; no bar."""
    rng = np.random.default_rng(1)
    for ohm, sign in ((1.0, "both signs"), (2.5, "both signs"), (1.0, "one sign")):
        conductance, wires = rng.uniform(2e-6, 150e-6, (64, 64)), Wires(r_word=ohm, r_bit=ohm)
        drive = rng.uniform(-0.2, 0.2, (8, 64)) if sign == "both signs" else rng.uniform(0, 0.2, (8, 64))
        across = solve(conductance, wires, drive).cell_voltage
        back = solve(conductance.T[::-1, ::-1], turned(wires), np.eye(64)).cell_voltage
        adjoint = back[::-1].transpose(0, 2, 1)[:, ::-1, ::-1]
        exact = np.sqrt(np.einsum("nij,cij,ij->nc", across**2, adjoint**2, conductance))
        view = WiredView.of(conductance, wires)
        by_line = view.bit_share * np.sqrt((drive * view.word_share) ** 2 @ conductance)
        by_cell = np.sqrt(drive**2 @ (sensitivity(conductance, wires) ** 2 * conductance))
        print(
            f"     noise of an output, 64 x 64, {ohm} Ohm, drive of {sign}: rms error of its sd "
            f"{100 * np.sqrt(np.mean((by_line / exact - 1) ** 2)):.1f} % by line, "
            f"{100 * np.sqrt(np.mean((by_cell / exact - 1) ** 2)):.1f} % by cell, "
            f"{100 * np.sqrt(np.mean((np.sqrt(drive**2 @ conductance) / exact - 1) ** 2)):.0f} % without wires"
        )


def cost(sizes: list[tuple[int, int]]) -> None:
    """Times as ratios within this run; no bar."""
    rng, wires = np.random.default_rng(2), Wires(r_word=1, r_bit=1)
    for size, repeats in sizes:
        conductance = rng.uniform(2e-6, 150e-6, (size, size))
        product = best(lambda c=conductance: c @ c, 20)  # type: ignore[misc]
        fast = best(lambda c=conductance: effective_matrix(c, wires), repeats)  # type: ignore[misc]
        one, nine = (
            best(lambda c=conductance, d=drive: solve(c, wires, d), 2)  # type: ignore[misc]
            for drive in (np.ones((1, size)), np.eye(9, size))
        )
        print(
            f"     effective matrix {size} x {size}: {1e3 * fast:.1f} ms = {fast / product:.0f} products {size}^3; "
            f"full solve (SuperLU, refined) of one vector {one / fast:.2f} times that, "
            f"of every further vector {(nine - one) / 8 / fast:.2f}"
        )


def best(work: Callable[[], object], repeats: int) -> float:
    """Shortest time of so many, s."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
