"""The experiments of a characterisation: each gives tables in SI, with columns named as `imssa fit` takes them.

An experiment is a list of parts; a part is one table and either done or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, PulseKind, Pulses
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.programmers import GateStart, WriteVerify

Columns = Mapping[str, NDArray[np.generic]]
"""Columns of equal length by name."""

UNITS = {
    "time": "s",
    "initial": "S",
    "target": "S",
    "conductance": "S",
    "low": "S",
    "high": "S",
    "voltage": "V",
    "gate": "V",
    "width": "s",
    "current": "A",
    "offset": "A",
    "residual": "A",
}
"""Units of the columns that have one."""

RESPONSE = 0.1
"""A cell that SET and RESET together move by less than this share of the window is called stuck."""
DEAD = 0.9
"""A line on which at least this share of the cells is stuck is called dead."""

LEVELLING_STEPS = 40
"""Write-verify steps, at most, to bring cells to the levels from which they relax: where exactly does not matter."""


class Schedule(BaseModel):
    """How much is measured.

    Attributes:
        levels: targets spread over the window.
        cycles: of SET and RESET in the stuck map and the pulse response.
        reads: of every cell for its noise, one at a time, `reads_at_once` in a part.
        times: s after programming, of the relaxation.
        read_voltages: shares of the read limit, of the I-V curves; negative ones where the inputs take a sign.
        sample: every so many cells the pulse response is taken.
        averages: of reads that noise should not be in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    levels: int = Field(default=8, ge=2)
    cycles: int = Field(default=2, ge=1)
    reads: int = Field(default=50, ge=2)
    reads_at_once: int = Field(default=10, ge=1)
    times: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)
    read_voltages: tuple[float, ...] = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
    sample: int = Field(default=16, ge=1)
    averages: int = Field(default=8, ge=1)


@dataclass(frozen=True)
class Bench:
    """What the experiments work with."""

    array: CrossbarArray
    recipe: WriteVerify
    schedule: Schedule

    @property
    def everything(self) -> BoolArray:
        """All cells, (rows, cols)."""
        return np.ones(self.array.info.shape, dtype=np.bool_)

    def extreme(self, kind: PulseKind, cells: BoolArray) -> None:
        """The strongest pulse of the recipe on these cells, (rows, cols)."""
        ladder = self.recipe.ladder(kind)
        self.array.apply_pulses(Pulses.on(cells, kind, ladder.voltage.max(), ladder.gate.max(), ladder.width))

    def read(self, cells: BoolArray | None = None) -> FloatArray:
        """Averaged conductances, S."""
        return self.array.read_conductances(cells, self.schedule.averages)

    def level_targets(self) -> tuple[FloatArray, NDArray[np.int64]]:
        """Targets (S) that go through the levels from cell to cell, and the number of each cell's level."""
        window, (rows, cols) = self.array.info.window, self.array.info.shape
        row, col = np.indices((rows, cols))
        level = (row * 3 + col * 5 + row // self.schedule.levels) % self.schedule.levels
        return np.linspace(window.low, window.high, self.schedule.levels)[level], level.astype(np.int64)


Part = Callable[[Bench], Columns]


def parts(name: str, bench: Bench) -> dict[str, Part]:
    """The parts of an experiment, by name, in order."""
    schedule = bench.schedule
    if name == "noise":
        batches = -(-schedule.reads // schedule.reads_at_once)
        return {f"reads-{batch}": partial(noise, batch=batch) for batch in range(batches)}
    if name == "pulses":
        return {f"cycle-{cycle}": partial(pulse_response, cycle=cycle) for cycle in range(schedule.cycles)}
    if name == "iv":
        shares = [*schedule.read_voltages]
        if bench.array.info.input_signed:
            shares = [-share for share in reversed(shares)] + shares
        return {f"voltage-{i}": partial(current_voltage, share=share) for i, share in enumerate(shares)}
    return {"all": _WHOLE[name]}


def of_cells(
    cells: BoolArray, **columns: FloatArray | NDArray[np.generic] | float | int
) -> dict[str, NDArray[np.generic]]:
    """Columns cell, row, col of the chosen cells, and the given ones: (rows, cols) or one value for all."""
    row, col = np.nonzero(cells)
    table: dict[str, NDArray[np.generic]] = {"cell": row * cells.shape[1] + col, "row": row, "col": col}
    for name, values in columns.items():
        table[name] = np.broadcast_to(np.asarray(values), cells.shape)[cells]
    return table


def stuck_map(bench: Bench) -> Columns:
    """Stuck and limited cells and dead lines, and every cell's conductance window, by response to SET and RESET.

    Lines come first: a cell on a dead line says nothing about itself. `low` and `high` are the averages over the
    cycles of what the strongest RESET and SET of the recipe leave.
    """
    window, span = bench.array.info.window, bench.array.info.window.span
    lows, highs = [], []
    for _ in range(bench.schedule.cycles):
        bench.extreme(PulseKind.SET, bench.everything)
        highs.append(bench.read())
        bench.extreme(PulseKind.RESET, bench.everything)
        lows.append(bench.read())
    low, high = np.mean(lows, axis=0), np.mean(highs, axis=0)
    still = high - low < RESPONSE * span
    words, bits = dead_lines(still)
    state = np.full(still.shape, "good", dtype="<U14")
    margin = bench.recipe.tolerance_out
    state[~still & (high < window.high - margin)] = "limited high"
    state[~still & (low > window.low + margin)] = "limited low"
    middle = (window.low + window.high) / 2
    state[still] = np.where((low + high)[still] / 2 < middle, "stuck low", "stuck high")
    state[words] = "dead word line"
    state[:, bits] = "dead bit line"
    return of_cells(bench.everything, state=state, low=low, high=high)


def dead_lines(still: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Word lines (rows,) and bit lines (cols,) that are dead, from which cells do not move, (rows, cols).

    A line is judged on the cells where the lines that cross it live.
    """
    words = np.asarray(still.mean(axis=1) >= DEAD)
    bits = np.asarray(still.mean(axis=0) >= DEAD)
    if not words.all() and not bits.all():
        words, bits = (
            np.asarray(still[:, ~bits].mean(axis=1) >= DEAD),
            np.asarray(still[~words].mean(axis=0) >= DEAD),
        )
    return words, bits


def pulse_response(bench: Bench, cycle: int) -> Columns:
    """SET against gate voltage after a RESET, then RESET against voltage, on a sample of the cells."""
    cells = np.zeros(bench.array.info.shape, dtype=np.bool_)
    cells.flat[:: bench.schedule.sample] = True
    bench.extreme(PulseKind.RESET, cells)
    before = bench.array.read_conductances(cells)
    pieces = []
    set_, reset = bench.recipe.ladder(PulseKind.SET), bench.recipe.ladder(PulseKind.RESET)
    sweeps = [(set_, set_.voltage.max(), float(gate)) for gate in np.unique(set_.gate)]
    sweeps += [(reset, float(voltage), reset.gate.max()) for voltage in np.unique(reset.voltage)]
    for step, (ladder, voltage, gate) in enumerate(sweeps):
        bench.array.apply_pulses(Pulses.on(cells, ladder.kind, voltage, gate, ladder.width))
        after = bench.array.read_conductances(cells)
        pieces.append(
            of_cells(
                cells,
                cycle=cycle,
                step=step,
                kind=np.array(ladder.kind.value),
                voltage=voltage,
                gate=gate,
                width=ladder.width,
                initial=before,
                conductance=after,
            )
        )
        before = after
    return joined(pieces)


def relaxation(bench: Bench) -> Columns:
    """Conductances at times after programming, of cells at all levels.

    Time is from the middle of the first read, right after programming, to the middle of each read. Cells that were
    done early have relaxed for as long as programming took when it begins.
    """
    target, level = bench.level_targets()
    brief = bench.recipe.model_copy(update={"max_steps": min(bench.recipe.max_steps, LEVELLING_STEPS)})
    bench.array.program_conductances(target, None, GateStart(recipe=brief))
    array = bench.array
    began = array.time
    initial = array.read_conductances()
    taken = array.time - began
    zero = began + taken / 2
    pieces = [of_cells(bench.everything, level=level, target=target, time=0.0, initial=initial, conductance=initial)]
    for due in bench.schedule.times:
        array.wait(max(zero + due - taken / 2 - array.time, 0.0))
        start = array.time
        read = array.read_conductances()
        middle = (start + array.time) / 2 - zero
        pieces.append(
            of_cells(bench.everything, level=level, target=target, time=middle, initial=initial, conductance=read)
        )
    return joined(pieces)


def programming(bench: Bench) -> Columns:
    """Programming errors at all levels, by an independent re-read; later experiments read the cells in this state."""
    target, level = bench.level_targets()
    report = bench.array.program_conductances(target, None, bench.recipe)
    return of_cells(
        bench.everything,
        level=level,
        target=target,
        conductance=report.achieved,
        pulses=report.pulses,
        outcome=report.outcome,
    )


def noise(bench: Bench, batch: int) -> Columns:
    """Reads of every cell as it is, one at a time, with the device time of each."""
    pieces = []
    for index in range(bench.schedule.reads_at_once):
        number = batch * bench.schedule.reads_at_once + index
        if number >= bench.schedule.reads:
            break
        now = bench.array.time
        read = bench.array.read_conductances()
        pieces.append(of_cells(bench.everything, read=number, time=now, conductance=read))
    return joined(pieces)


def current_voltage(bench: Bench, share: float) -> Columns:
    """Current of every cell as it is, at one read voltage, one word line driven at a time."""
    array = bench.array
    voltage = share * array.info.limits.read_voltage
    current = array.read_mvm(voltage * np.eye(array.info.rows))
    return of_cells(bench.everything, voltage=voltage, current=current)


def columns(bench: Bench) -> Columns:
    """Gain, offset and residual of every bit line; the array keeps the calibration that it had."""
    before = bench.array.calibration
    found = calibrate_columns(bench.array)
    bench.array.set_calibration(before)
    return {
        "col": np.arange(bench.array.info.cols),
        "gain": found.gain,
        "offset": found.offset,
        "residual": found.residual,
    }


def joined(pieces: list[dict[str, NDArray[np.generic]]] | list[Columns]) -> Columns:
    """Tables of the same columns, (n,) each, one below the other."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]} if pieces else {}


_WHOLE: dict[str, Part] = {
    "stuck": stuck_map,
    "relaxation": relaxation,
    "programming": programming,
    "columns": columns,
}

EXPERIMENTS = ("stuck", "pulses", "relaxation", "programming", "noise", "iv", "columns")
"""All experiments, in the order in which they run: what follows `programming` reads the levels it leaves."""

PULSING = ("stuck", "pulses", "relaxation", "programming")
"""Those that pulse cells: what an array held is lost."""
