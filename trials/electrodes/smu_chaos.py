"""Random products, reads and pulses on two meters and a matrix with failing wires, judged by what electrodes saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.virtual.electrode_journal import Entry
from imssa_lab.virtual.wire_faults import KINDS, Faults
from trials.electrodes.smu_bench import KINDS as BENCHES
from trials.electrodes.smu_bench import SHAPE, SmuBench
from trials.link_chaos import Outcome, random_operations

SOCKET_FAULTS = tuple(sorted(set(KINDS) - {"identity", "refused"}))
"""Those that the sockets of meters have once they are open; these two are in the tests of opening."""
ANSWER = "an answer: a digit of what was measured"


@dataclass
class Excuses:
    """Which wrong answers nothing could show, by `docs/faults.md`: plain SCPI has no checksums."""

    wires: tuple[Faults, ...]
    harmed: Counter[str]
    _seen: tuple[int, ...] = (0, 0, 0)

    def __call__(self) -> str:
        """What may have spoiled the operation that has just ended."""
        seen = tuple(len(faults.flips) for faults in self.wires)
        turned = sum(seen) - sum(self._seen)
        self._seen = seen
        self.harmed[ANSWER] += turned
        return ANSWER if turned else ""


def smu_chaos(
    operations: int,
    seed: int,
    kinds: tuple[str, ...] = SOCKET_FAULTS,
    rate: float = 0.004,
    deadline: float = 0.25,
    bench: int = 0,
) -> tuple[Outcome, list[Faults], Excuses]:
    """Operations at random; a share `rate` of the messages to each of the three instruments meets a fault."""
    made = SmuBench(BENCHES[bench])
    rng = np.random.default_rng(seed)
    wires = [
        Faults(kinds, rate, np.random.default_rng([seed, wire]), 1.5 * deadline, (b"MODEL", b"MODAL"))
        for wire in range(3)
    ]
    excuses = Excuses(tuple(wires), Counter())
    with ExitStack() as stack:
        made.serve(stack, *wires)
        outcome = random_operations(
            on_smu(made),
            lambda: made.connect_to_ports(deadline),
            lambda array: any(link.closed for link in array.links),  # type: ignore[attr-defined]
            deadline,
            operations,
            rng,
            excuses,
        )
    return outcome, wires, excuses


def on_smu(bench: SmuBench) -> Callable[[CrossbarArray, np.random.Generator], bool]:
    """One operation: whether the electrodes saw what was asked, once, and the answer is what flowed."""

    def operation(array: CrossbarArray, rng: np.random.Generator) -> bool:
        before = len(bench.twin.journal.entries)
        bench.wiring.flows.clear()
        choice = int(rng.integers(4))
        mask = rng.random(SHAPE) < 0.2
        mask[tuple(rng.integers(SHAPE))] = True
        if choice == 0:
            asked = rng.uniform(-0.2, 0.2, (int(rng.integers(1, 3)), SHAPE[0])) * (rng.random(SHAPE[0]) < 0.5)
            given = array.read_mvm(asked)
            cells = np.argwhere(np.outer(asked.any(axis=0), np.ones(SHAPE[1])))
            measured = np.zeros_like(given)
            for (_, col), current in zip(cells, _flowed(bench, cells, len(asked)), strict=True):
                measured[:, col] += current
            return np.allclose(given, measured, rtol=1e-5, atol=1e-10) and _read(_since(bench, before), cells, asked)
        if choice == 1:
            conductances = array.read_conductances(mask)
            full = np.full((1, SHAPE[0]), array.info.read_voltage)
            cells = np.argwhere(mask)
            measured = np.array(_flowed(bench, cells, 1))[:, 0] / array.info.read_voltage
            return np.allclose(conductances[mask], measured, rtol=1e-5) and _read(_since(bench, before), cells, full)
        kind, gates = ("SET", (0.8, 1.5)) if choice == 2 else ("RESET", (4.0, 5.0))
        pulses = Pulses.on(mask, kind, rng.uniform(0.5, 2.5, SHAPE), rng.uniform(*gates, SHAPE), 1e-3)
        array.apply_pulses(pulses)
        return _pulsed(_since(bench, before), pulses)

    return operation


def _flowed(bench: SmuBench, cells: np.ndarray, levels: int) -> list[FloatArray]:
    """Currents in A (levels,) of each cell; not numbers where something else flowed."""
    flows = [flow.current[:levels] for flow in bench.wiring.flows if len(flow.current) == levels + 1]
    return flows if len(flows) == len(cells) else [np.full(levels, np.nan)] * len(cells)


def _since(bench: SmuBench, before: int) -> list[Entry]:
    entries = bench.twin.journal.entries[before:]
    return [entry for entry in entries if entry.what not in ("on", "zero", "ground")]


def _read(seen: list[Entry], cells: np.ndarray, asked: FloatArray) -> bool:
    """Cell after cell, each at the voltages of its word line, and nothing else."""
    driven = [entry for entry in seen if entry.voltage.any()]
    wanted = []
    for row, _ in cells:
        if asked[:, row].any():
            vectors = np.zeros((len(asked), SHAPE[0]))
            vectors[:, row] = asked[:, row]
            wanted.append(np.vstack([vectors, np.zeros(SHAPE[0])]))
    return len(driven) == len(wanted) and all(
        entry.what == "mvm"
        and entry.voltage.shape == vectors.shape
        and np.allclose(entry.voltage, vectors, atol=1e-8)
        for entry, vectors in zip(driven, wanted, strict=True)
    )


def _pulsed(seen: list[Entry], pulses: Pulses) -> bool:
    if any(entry.what != pulses.kind.value or not np.isclose(entry.width, pulses.width, rtol=1e-3) for entry in seen):
        return False
    if len(seen) != np.count_nonzero(pulses.mask):
        return False
    together = {
        name: np.nansum([getattr(entry, name) for entry in seen], axis=0)[pulses.mask] for name in ("voltage", "gate")
    }
    given = np.count_nonzero([~np.isnan(entry.voltage) for entry in seen], axis=0)
    return (
        np.array_equal(given, pulses.mask.astype(int))
        and np.allclose(together["voltage"], pulses.voltage[pulses.mask], rtol=0.02)
        and np.allclose(together["gate"], pulses.gate[pulses.mask], atol=2e-3)
    )
