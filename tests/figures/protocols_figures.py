"""Figures of the protocols on small boards: programming, calibration, characterisation, cost and what they count."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from imssa_lab.contract.errors import DeploymentError, LimitError
from imssa_lab.contract.hal import FloatArray, PulseKind, Pulses
from imssa_lab.mapping import Packing, arrays_needed, map_bundle
from imssa_lab.s4d.dense_layer import Layers
from protocols.array_matrix import put_matrix
from protocols.characterisation.column_calibration import calibrate_columns, check_columns
from protocols.characterisation.experiments import EXPERIMENTS, Schedule
from protocols.characterisation.protocol import Characterisation
from protocols.chip_record import ChipRecord
from protocols.corrections.judgement_held_out import closer, judged, more_right
from protocols.cost.energy_figures import EnergyTable, break_even, network_energy, reads_energy
from protocols.cost.inference_counts import inference_counts
from protocols.cost.predicted_cost import predicted_cost
from protocols.cost.reads_counted import ReadsCounted
from protocols.deployment.survey import survey
from protocols.probes import probe_voltages
from protocols.programmers import PROGRAMMERS, make_programmer, recipe_of
from protocols.recurrence import spreads_of
from protocols.wrappers.budget import Account, Budget
from protocols.wrappers.counted import Counted
from protocols.wrappers.counting_array import CountingArray
from protocols.wrappers.dry_run_report import DryRun, duration
from protocols.wrappers.metered import Metered
from protocols.wrappers.session_counts import Counts, Tally, are_near
from trials.untrained import untrained_bundle, varied_sequences
from twin import DigitalTwin, TwinProfile

SHAPE = (8, 8)
SEQUENTIAL = {"sequential": {}, "centre": True, "averages": 2}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in PROGRAMMERS},
    "hysteretic with care": ("hysteretic", SEQUENTIAL | {"step_back": 2, "patience": 8}),
    "hysteretic in haste": ("hysteretic", {"pulse_budget": 4, "whole_every": 1, "max_retries": 0, "returns": 1}),
    "incremental with care": ("incremental", {"recipe": SEQUENTIAL, "rounds": 3, "epochs": 2, "wait": 30.0}),
}


def board(seed: int = 3, shape: tuple[int, int] = SHAPE, profile: str = "supert-a0") -> DigitalTwin:
    """A small board with more stuck cells than most, and one dead line."""
    tables = TwinProfile.load(profile).model_dump()
    tables["stuck"] |= {"on_fraction": 0.05, "off_fraction": 0.05}
    tables["lines"] = None
    tables["recipe"] |= {"max_steps": 60}
    twin = DigitalTwin(TwinProfile.model_validate(tables), shape, seed)
    line = np.zeros(shape, dtype=bool)
    line[:, 2] = True
    twin.cells.stick(line, 1e-6)
    return twin


def targets(twin: DigitalTwin, seed: int = 1) -> tuple[FloatArray, np.ndarray]:
    rng, window = np.random.default_rng(seed), twin.info.window
    return rng.uniform(window.low, window.high, twin.info.shape), rng.random(twin.info.shape) < 0.7


def programmed(name: str) -> dict[str, object]:
    programmer, settings = SETTINGS[name]
    twin, second = board(), board(seed=4)
    if programmer == "residual":
        settings = settings | {"further": (second,), "averages": 4}
        twin.cells.stuck = second.cells.stuck = np.zeros(SHAPE, dtype=bool)
    made = make_programmer(programmer, recipe_of(twin), settings)
    target, mask = targets(twin)
    if programmer == "residual":
        mask = np.repeat(mask[:, ::2], 2, axis=1)
    report = twin.program_conductances(target, mask, made)
    again = twin.program_conductances(
        target, mask if programmer == "residual" else mask & (report.outcome != 1), made
    )
    return {
        "report": report,
        "within": [report.within(), report.within(3e-6)],
        "words": str(report),
        "again": again,
        "cells": [twin.cells.conductance, second.cells.conductance],
        "time": [twin.time, second.time],
    }


def columns() -> Iterator[tuple[str, object]]:
    twin = board(shape=(16, 12))
    twin.program_conductances(*targets(twin))
    yield "before", check_columns(twin, vectors=16, averages=4, fitted=24)
    yield "calibration", calibrate_columns(twin, vectors=24, averages=4)
    yield "after", check_columns(twin, vectors=16, averages=4)
    yield "silent", check_columns(twin, vectors=16, averages=4).silent
    yield "time", twin.time
    yield "probes", probe_voltages(5, 7, 0.2)
    yield "spreads", [spreads_of(bits, averages) for bits, averages in ((None, 3), (6, 4), (8, 1))]


def matrix() -> Iterator[tuple[str, object]]:
    twin = board(shape=(16, 16))
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(5, 9))
    put = put_matrix(weights, twin)
    yield "lines", [put.word_lines, put.pairs, put.scale, put.shape]
    yield "report", put.report
    yield "check", put.check(20)
    yield "product", put @ rng.normal(size=(9, 2))
    yield "words", [str(put.check(8)), repr(put)]


def surveyed() -> Iterator[tuple[str, object]]:
    twin = board()
    twin.cells.conductance = np.where(twin.cells.stuck, 90e-6, np.random.default_rng(0).uniform(1e-6, 150e-6, SHAPE))
    yield "survey", survey(twin, 10e-6)
    yield "cells", [twin.cells.conductance, twin.time]


def characterised(name: str) -> dict[str, object]:
    schedule = Schedule(levels=3, reads=6, reads_at_once=3, times=(1.0, 100.0), sample=4, averages=2, cycles=1)
    twin = board(shape=(6, 5), profile="supert-a0-easy")
    found: dict[str, object] = {}
    with TemporaryDirectory() as folder, ChipRecord(Path(folder) / "chips.db") as record:
        counted = Counted(twin, record)
        only = ["stuck"] if name == "stuck" else ["stuck", name]
        work = Characterisation(counted, Path(folder) / "tables", schedule=schedule, only=only)
        plan = work.plan()
        found["plan"] = [plan.seconds, plan.pulsing, plan.total, plan.run.facts(), str(plan)]
        tables = work.run()
        with tables[name].open(encoding="utf-8", newline="") as file:
            file.readline()
            rows = list(csv.DictReader(file))
        chip = record.chips()[0]
        wear = record.wear(chip)
        found["pulses"] = [wear.pulses, wear.count, wear.seconds]
        found["faults"] = sorted((one.row, one.col, one.fault) for one in record.faults(chip))
    for column in rows[0]:
        found[column] = _column([row[column] for row in rows])
    return found


def _column(words: list[str]) -> np.ndarray:
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        return np.array(words)


def costs() -> Iterator[tuple[str, object]]:
    bundle = untrained_bundle()
    choices: list[tuple[Packing, int, Layers]] = [("time", 1, "kernels"), ("area", 2, "kernels"), ("time", 3, "all")]
    for packing, averages, layers in choices:
        for profile in ("ideal", "supert-a0"):
            array = DigitalTwin(profile, (24, 32))
            needed = arrays_needed(bundle, array.info.shape, layers, packing)
            mapping = map_bundle(bundle, array.info.shape, array.info.window, needed, layers=layers, packing=packing)
            counts = inference_counts(bundle, mapping, array.info, 5, averages)
            name = f"{packing} {averages} {layers} {profile}"
            yield name, counts
            cost = predicted_cost(bundle, array, varied_sequences(1)[:2, :4], averages, layers, packing)
            yield f"{name} predicted", [cost.counts, cost.reads]
            table = EnergyTable.load()
            reads = reads_energy(cost.reads, counts.conversions, 1e-6, table)
            yield f"{name} energy", [reads, network_energy(reads, counts.multiply_adds, table, counts.dense)]
            yield f"{name} break even", break_even(counts.multiply_adds.kernels, counts.conversions, table)


def wrappers() -> Iterator[tuple[str, object]]:
    account = Account(Budget(pulses=60, seconds=50.0))
    held = np.random.default_rng(1).uniform(1e-6, 1e-4, SHAPE)
    inner = ReadsCounted(board(), held)
    array = Tally(Metered(inner, account))
    volts = np.random.default_rng(2).uniform(0, 0.2, (3, SHAPE[0]))
    array.read_mvm(volts)
    array.read_conductances(averages=2)
    array.wait(3.0)
    for cells in (20, 30, 20):
        mask = np.arange(64).reshape(SHAPE) < cells
        try:
            array.apply_pulses(Pulses.on(mask, PulseKind.SET, 1.2, 1.0, 1e-5))
        except DeploymentError as error:
            yield "spent", str(error)
    yield "account", account
    yield "tally", array.counts
    yield "reads", inner.counts
    dry = CountingArray(board())
    dry.program_conductances(*targets(board()))
    dry.read_mvm(volts)
    yield "dry", [dry.expected, dry.longest]
    yield "facts", DryRun.of([dry]).facts()
    yield "forecast", Counts.forecast([array.counts, array.counts + array.counts])
    yield "near", [are_near(forecast, [80.0, 100.0, 130.0]) for forecast in (70.0, 100.0, 200.0)]
    yield "durations", [duration(seconds) for seconds in (0.02, 3.0, 75.0, 4000.0, 2e5)]
    try:
        array.read_mvm(volts + 1.0)
    except LimitError as error:
        yield "refused", str(error)


def judgements() -> Iterator[tuple[str, object]]:
    rng = np.random.default_rng(8)
    software, labels = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
    results = [judged(software + size * rng.normal(size=(30, 3)), software, labels) for size in (1.0, 0.6, 0.1)]
    yield "judged", [one.figures("now") for one in results]
    yield "closer", [closer(a, b) for a in results for b in results]
    yield "more right", [more_right(a, b) for a in results for b in results]


def _of(make: Callable[[], Iterator[tuple[str, object]]]) -> dict[str, object]:
    return dict(make())


CASES: Mapping[str, Callable[[], object]] = {
    **{f"programmer {name}": partial(programmed, name) for name in SETTINGS},
    **{f"characterised {name}": partial(characterised, name) for name in EXPERIMENTS},
    **{make.__name__: partial(_of, make) for make in (columns, matrix, surveyed, costs, wrappers, judgements)},
}
