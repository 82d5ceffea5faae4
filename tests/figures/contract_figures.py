"""Figures of the contract: ranges, codes, classes of cells, loops, reports, and refusals in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from imssa_lab.contract.array_types import AdcRanges, ColumnCalibration, PulseKind, Pulses, Readout, Window
from imssa_lab.contract.cell_classes import CellMap, CellShares, cell_shares, level_ranges, made_up_for, target_levels
from imssa_lab.contract.checks import arguments, containers, incoming
from imssa_lab.contract.closed_loop import ClosedLoop, LoopBank
from imssa_lab.contract.errors import ImssaError
from imssa_lab.contract.hal import ProgrammingReport
from imssa_lab.contract.notebook import facts_html
from imssa_lab.contract.suggestions import did_you_mean
from twin import DigitalTwin

WINDOW = Window(low=2e-6, high=150e-6)
SHAPE = (4, 6)


def said(ask: Callable[..., object], *given: object) -> object:
    """What an answer is, or the words of its refusal."""
    try:
        return ask(*given)
    except ImssaError as error:
        return [type(error).__name__, str(error)]


def ranges() -> Iterator[tuple[str, object]]:
    for signed in (True, False):
        adc = AdcRanges(bits=8, signed=signed, scale=(1e-8, 3e-8, 1e-6), offset=(0.0, 1e-7, 0.0))
        plain = AdcRanges(bits=8, signed=signed, scale=(1e-8, 3e-8, 1e-6), offset=(0.0, 0.0, 0.0))
        yield f"{signed}", [adc.codes, adc.by_range, plain.by_range]
        yield (
            f"{signed} step",
            [said(one.common_step, parts) for one in (adc, plain) for parts in (1, 7, 255)],
        )
        codes = np.array([[0, 1, 100], [127, 5, 77]], dtype=np.int16)
        read = Readout(codes, np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8))
        yield f"{signed} current", [read.current(adc), read.current(plain), Readout(codes / 1e7).current(None)]
    made = ColumnCalibration(np.array([1.1, 0.9]), np.array([1e-7, 0.0]), np.array([1e-9, 2e-9]), "2026-01-01")
    yield "calibrated", made.apply(np.array([[1e-6, 2e-6], [3e-6, 4e-6]]))


def classes() -> Iterator[tuple[str, object]]:
    rng = np.random.default_rng(1)
    found = []
    for seed in (1, 2):
        target = np.where(rng.random(SHAPE) < 0.8, rng.uniform(2e-6, 150e-6, SHAPE), np.nan)
        target[0, :3] = [2e-6, 12e-6, 12.1e-6]
        achieved = target + rng.normal(0, 6e-6, SHAPE)
        made_up = made_up_for(np.nan_to_num(target), achieved, rng.random(SHAPE) < 0.4, 10e-6)
        cells = CellMap(target=target, achieved=achieved, kernels=rng.random(SHAPE) < 0.7, made_up=made_up)
        found.append(cell_shares([cells], WINDOW, 10e-6))
        yield f"chip {seed}", [made_up, target_levels(target, WINDOW, 10e-6), found[-1]]
    both = CellShares.merged(found)
    yield "merged", [both, both.worst, both.whole, both.all_parts(), level_ranges(WINDOW, 10e-6)]
    yield "words", [str(part) for part in both.all_parts()]
    yield "facts", [part.facts() for part in both.all_parts()]
    outcome = np.array([[1, 2, 3], [4, 5, 0]], dtype=np.uint8)
    target = np.array([[1e-5, 2e-5, 3e-5], [4e-5, 5e-5, np.nan]])
    pulses = np.arange(6, dtype=np.int32).reshape(2, 3)
    report = ProgrammingReport(target, target * 1.1, pulses, outcome, 3e-6, 1.25, 7)
    yield "report", [str(report), report.within(), report.within(1e-6), report.error, report.selected]


def loops() -> Iterator[tuple[str, object]]:
    lines = np.arange(4).reshape(2, 2)
    rng = np.random.default_rng(2)
    bank = LoopBank(
        rows=lines,
        plus=2 * lines[:, ::-1],
        drive=0.2 * rng.choice([-1.0, 1.0], (2, 2)),
        per_ampere=rng.uniform(1e3, 2e4, (2, 2)),
        input_scale=np.array([1.0, 1.3]),
        keep=np.array([1.0, 0.0]),
    )
    loop = ClosedLoop([bank], np.array([-1e-2, 1e-2]), 0.01)
    state = rng.uniform(-1, 1, (3, 2, 1))
    inputs = rng.uniform(-1.5, 1.5, (3, 2))
    yield "voltages", [bank.voltages(inputs, state, loop.spreads, 5, step) for step in (None, 0.01)]
    yield "after", bank.after(rng.normal(0, 1e-4, (6, 8)), state)
    yield "rest", [loop.kernels, loop.rest(2)]
    for shape, limit in (((4, 8), 0.2), ((3, 8), 0.2), ((4, 6), 0.2), ((4, 8), 0.1)):
        yield f"fits {shape} {limit}", said(loop.check, "it", shape, limit)
    good = np.zeros((2, 3, 2))
    for name, given in (("good", good), ("few", good[0]), ("nan", good + np.nan)):
        yield f"own {name}", said(loop.own, "it", given, loop.rest(2))


def refusals() -> Iterator[tuple[str, object]]:
    twin = DigitalTwin("ideal", SHAPE, 1)
    info = twin.info
    for name, values in (
        ("vector", [0.1, 0.2, -0.2, 0.0]),
        ("edge", [0.2, 0.2, -0.2, 0.2 + 1e-12]),
        ("beyond", [[0.1, 0.2, 0.3, 0.0], [0.0, -0.25, 0.0, 0.0]]),
        ("long", [0.1] * 5),
        ("nan", [0.1, np.nan, 0.0, 0.0]),
        ("words", ["a"] * 4),
        ("complex", [0.1j] * 4),
        ("none", None),
    ):
        yield f"voltages {name}", said(arguments.voltages, info, values)
    for number in (1, 0, -1, 2.0, 1.5, True, "3", np.int64(4), np.nan):
        yield f"averages {type(number).__name__} {number}", said(arguments.averages, info, number)
        yield f"number {type(number).__name__} {number}", said(containers.number, number, "it", "s")
    every = np.ones(SHAPE, dtype=bool)
    for kind, volts, gate, width in (
        ("SET", 3.5, 2.1, 20e-9),
        ("SET", 3.6, 1.0, 1e-6),
        ("SET", 1.0, 2.2, 1e-6),
        ("RESET", 3.0, 5.5, 0.1),
        ("RESET", 1.0, 1.0, 0.2),
        ("RESET", 1.0, 1.0, 1e-9),
        ("FORM", 1.0, 1.0, 1e-6),
        ("SET", -1.0, 1.0, 1e-6),
        ("SET", np.inf, 1.0, 1e-6),
        ("PUSH", 1.0, 1.0, 1e-6),
    ):
        asked = f"{kind} {volts} {gate} {width}"
        try:
            pulses = Pulses.on(every, kind, volts, gate, width)
            yield asked, said(arguments.pulses, info, pulses)
        except (ImssaError, ValueError) as error:
            yield asked, str(error)
    for low in (2e-6, 1.9e-6, 150e-6, 151e-6, np.nan):
        yield f"target {low}", said(arguments.targets, info, np.full(SHAPE, low), every)
    for name, mask in (("whole", every), ("numbers", every * 1), ("small", every[:2]), ("none", None)):
        yield f"mask {name}", said(arguments.mask, info, mask)
    yield "apart", [arguments.apart(a, b) for a, b in ((0.3, 0.2), (0.20000001, 0.2), (1e-9, 2e-9))]


def answers() -> Iterator[tuple[str, object]]:
    info = DigitalTwin("supert-a0", SHAPE, 1).info
    plain = DigitalTwin("ideal", SHAPE, 1).info
    whole = np.zeros((2, 6), dtype=np.int32)
    for name, read in (
        ("codes", Readout(whole, np.zeros((2, 6), dtype=np.uint8))),
        ("range", Readout(whole, np.full((2, 6), 200, dtype=np.uint8))),
        ("no range", Readout(whole)),
        ("too large", Readout(whole + 2**30, np.zeros((2, 6), dtype=np.uint8))),
        ("shape", Readout(whole[0], np.zeros(6, dtype=np.uint8))),
        ("amperes", Readout(whole * 1e-6)),
        ("nan", Readout(whole * np.nan)),
    ):
        for kind, of in (("board", info), ("ideal", plain)):
            yield (
                f"{name} {kind}",
                said(incoming.current, of, "read_mvm", read, (2, 6), None),
            )
    for time in (0.0, 1.5, -1.0, np.nan, np.inf):
        yield f"time {time}", said(incoming.device_time, plain, time)
    yield "facts", [info.facts(), plain.facts(), info.word_lines, plain.word_lines, info.whole_step, plain.whole_step]
    yield "meant", [did_you_mean(word, ("white", "wires", "window")) for word in ("wire", "wite", "zzz")]
    yield "html", [facts_html("a < b", [("x", "1 & 2")], good) for good in (None, True, False)]
    yield "kinds", [kind.value for kind in PulseKind]


CASES: Mapping[str, Callable[[], object]] = {
    "ranges": lambda: dict(ranges()),
    "classes": lambda: dict(classes()),
    "loops": lambda: dict(loops()),
    "refusals": lambda: dict(refusals()),
    "answers": lambda: dict(answers()),
}
