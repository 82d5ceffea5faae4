"""What a run amounts to, and how two runs differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log.file.live_dataset import ask
from imssa_lab.log.file.named_damage import damage_named
from imssa_lab.log.replay.divergence import mismatch
from imssa_lab.log.run import Run
from imssa_lab.log.schema import PULSE_KINDS, SCALES, TABLES, parts

_BLOCK = 512
# Say when and where a run was made, and differ in any two.
_OWN = ("process", "command", "folder")


@damage_named
def statistics(run: Run) -> dict[str, float]:
    """A run in numbers: calls by kind, durations (s), pulses by kind and cell, programming, wire, currents (A)."""
    found: dict[str, float] = {table: float(run.records(table)) for table in TABLES}
    walls = [run.column(table, "wall_time") for table in TABLES if "seq" in TABLES[table]]
    times = np.concatenate(walls)
    found["wall time, s"] = float(np.ptp(times)) if times.size else 0.0
    found["device time, s"] = run.device_time()
    kinds = run.column("pulses", "kind")
    for code, kind in enumerate(PULSE_KINDS):
        found[f"{kind} calls"] = float(np.count_nonzero(kinds == code))
    found["cell pulses"] = float(run.rows("pulses", "voltage"))
    for table in ("read_mvm", "read_conductances"):
        found[f"{table} rows"] = float(run.rows(table, "value"))
        found |= _currents(run, table)
    outcomes = run.column("program", "outcome")
    selected = outcomes != CellOutcome.NOT_SELECTED
    found["cells asked for, over all programming calls"] = float(np.count_nonzero(selected))
    if selected.any():
        error = np.abs(run.column("program", "achieved") - run.column("program", "target"))[selected]
        bound = np.broadcast_to(run.column("program", "tolerance")[:, None, None], outcomes.shape)[selected]
        found["of these in tolerance at the end of the call, fraction"] = float(np.mean(error <= bound))
    for outcome in CellOutcome:
        if outcome is not CellOutcome.NOT_SELECTED and np.any(outcomes == outcome):
            found[f"the loop says {outcome.name.lower().replace('_', ' ')}, cells"] = float(
                np.count_nonzero(outcomes == outcome)
            )
    found["failed calls"] = float(len(run.events("failed")))
    found["wire bytes"] = float(run.rows("wire", "data"))
    return found


@damage_named
def stored_bytes(run: Run) -> dict[str, float]:
    """Where the bytes of a file are: of each dataset that takes more than a hundredth of it, the largest first."""
    size = run.path.stat().st_size
    parts = {
        f"/{table}/{name}": float(ask(run.file, table, name, lambda dataset: dataset.id.get_storage_size()))
        for table, columns in TABLES.items()
        for name in columns
        if f"{table}/{name}" in run.file
    }
    large = sorted(((count, name) for name, count in parts.items() if count > size / 100), reverse=True)
    return {"file, MB": size / 1e6, **{f"{name}, MB": count / 1e6 for count, name in large}}


def _currents(run: Run, table: str) -> dict[str, float]:
    """Mean and spread of the codes (currents without an ADC)."""
    count, total, squares = 0, 0.0, 0.0
    for rows in _blocks(run.rows(table, "value")):
        values = run.column(table, "value", rows).astype(np.float64)
        count, total, squares = count + values.size, total + float(values.sum()), squares + float((values**2).sum())
    if not count:
        return {}
    mean = total / count
    return {f"{table} value, mean": mean, f"{table} value, std": float(np.sqrt(max(squares / count - mean**2, 0.0)))}


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK):
        yield slice(start, min(start + _BLOCK, rows))


@damage_named
def differences(one: Run, two: Run) -> Iterator[tuple[str, str, str, str]]:
    """How two runs differ: (part, name, in one, in two); part is settings, arrays, calls or statistics.

    Of the calls, the first that differs is reported, in its request or in its answer.
    """
    yield from _facts("settings", one.provenance, two.provenance)
    yield from _facts("settings", _flat(one.environment), _flat(two.environment))
    infos = [[info.model_dump(mode="json") for info in run.infos] for run in (one, two)]
    if len(infos[0]) != len(infos[1]):
        yield ("arrays", "count", str(len(infos[0])), str(len(infos[1])))
    for index, (left, right) in enumerate(zip(*infos, strict=False)):
        yield from _facts(f"array {index}", left, right)
    yield from _first_call(one, two)
    yield from _facts("statistics", statistics(one), statistics(two))


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in facts.items() if key not in ("packages", *_OWN)}
    return plain | dict(facts.get("packages", {}))


def _facts(part: str, one: dict[str, Any], two: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for name in sorted({*one, *two}):
        if one.get(name) != two.get(name):
            yield part, name, _text(one.get(name)), _text(two.get(name))


def _text(value: Any) -> str:
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _call(call: tuple[int, str, int] | None) -> str:
    return "the end" if call is None else f"{call[1]} (record {call[0]})"


def _first_call(one: Run, two: Run) -> Iterator[tuple[str, str, str, str]]:
    orders = [_order(run) for run in (one, two)]
    for place in range(max(map(len, orders))):
        here = [order[place] if place < len(order) else None for order in orders]
        if here[0] is None or here[1] is None or here[0][1] != here[1][1]:
            yield ("calls", f"call {place}", _call(here[0]), _call(here[1]))
            return
        (seq, table, row), (_, _, other) = here[0], here[1]
        for name, column in TABLES[table].items():
            if name in ("seq", "wall_time", "device_time", "first", "first_seq", "last_seq", "date"):
                continue
            if name in SCALES.values() or column.behind or f"{table}/{name}" not in one.file:
                continue
            values = [_cell(run, table, name, column.per, at) for run, at in ((one, row), (two, other))]
            text = mismatch(name, *values)
            if text:
                yield (
                    "calls",
                    f"call {place} ({table}, record {seq})",
                    text.replace("the script gives", "against"),
                    "",
                )
                return


def _cell(run: Run, table: str, name: str, per: str, row: int) -> Any:
    if per != parts(table):
        return run.column(table, name, row)
    first, count = (int(run.column(table, part, row)) for part in ("first", "count"))
    return run.column(table, name, slice(first, first + count))


def _order(run: Run) -> list[tuple[int, str, int]]:
    return sorted(
        (int(seq), table, row)
        for table in TABLES
        if "array" in TABLES[table]
        for row, seq in enumerate(run.column(table, "seq"))
    )
