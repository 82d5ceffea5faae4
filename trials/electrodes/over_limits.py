"""Requests over lowered limits, by every way into an array; what the electrodes saw decides, not what was refused."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from drivers.arc_two import ArcTwoArray, ChannelMap
from imssa_lab.contract.errors import ImssaError
from imssa_lab.contract.hal import CrossbarArray, Limits, Pulses
from imssa_lab.station.addresses import open_array
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Journal
from imssa_lab.virtual.virtual_smu_matrix import meter_profile
from trials.electrodes import arc_two_stand_in
from trials.virtual_kinds import VIRTUAL

SHAPE = (4, 3)
DRIVERS = (*VIRTUAL, "ArC TWO")
READ = 0.15
LOWERED = {"set": (1.5, 1.0, 2e-3), "reset": (1.2, 4.0, 2e-3)}
"""V, V and s, by kind of pulse."""
_ROUNDING = 1 + 1e-6  # that of a caller's float32
_NO_VOLTAGE = 1e-3  # V
WAYS = ("script", "station entry", "environment", "command line", "threads")


@dataclass
class Seen:
    """What came of requests.

    Attributes:
        asked: by way; refused: by type of error; done: requests that were not; strange: errors of no kind that a
            caller could expect.
        over: entries of the journal beyond a lowered limit, by what; driven: entries in all.
    """

    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    done: int = 0
    strange: list[str] = field(default_factory=list)
    over: Counter[str] = field(default_factory=Counter)
    driven: int = 0

    def look(self, journal: Journal, since: int) -> None:
        """Compare what the electrodes saw with the lowered limits."""
        for entry in journal.entries[since:]:
            if entry.what in ("on", "zero", "ground", "unpowered"):
                continue
            self.driven += 1
            volts, gate, width = LOWERED.get(entry.what.lower(), (READ, np.inf, np.inf))
            if np.nanmax(np.abs(entry.voltage), initial=0.0) < _NO_VOLTAGE:
                width = np.inf  # the trial of a superT A0 is one of time
            for what, value, limit in (
                ("V", entry.voltage, volts),
                ("V at a gate", entry.gate, gate),
                ("s", np.array(entry.width), width),
            ):
                if value.size and np.nanmax(np.abs(value), initial=0.0) > limit * _ROUNDING:
                    self.over[f"{entry.what} {what}"] += 1


@contextmanager
def virtual(driver: str) -> Iterator[tuple[str, Journal]]:
    """The address of a virtual instrument, and its journal."""
    if driver in VIRTUAL:
        with VIRTUAL[driver](SHAPE) as instrument:
            yield instrument.address, instrument.bench.journal
        return
    bench = BenchTwin(meter_profile("supert-a0-easy"), SHAPE, seed=3)
    lines = ChannelMap.standard().block(*SHAPE)

    def opened(port: str, options: object) -> ArcTwoArray:
        return ArcTwoArray(arc_two_stand_in.library(), arc_two_stand_in.Instrument(bench, lines), lines)

    with mock.patch("drivers.arc_two.open_arc_two", opened):  # the maker's library has a process of its own
        yield "arc2:0", bench.journal


def over_limits(driver: str, requests: int, seed: int, ways: tuple[str, ...] = WAYS, lowered: bool = True) -> Seen:
    """So many requests on one driver, through each of `ways` in turn, a tenth of them allowed.

    Args:
        lowered: False leaves the limits where the driver has them: the null control.
    """
    rng = np.random.default_rng(seed)
    seen = Seen()
    with virtual(driver) as (address, journal), tempfile.TemporaryDirectory() as folder:
        station = _station(Path(folder), address)
        each = -(-requests // len([way for way in ways if way != "command line"]))
        for way in ways:
            since = len(journal.entries)
            if way == "command line":
                _commands(seen, Path(folder), station, max(each // 50, 1), rng)
            else:
                with _opened(way, address, station, lowered) as array:
                    for _ in range(each):
                        seen.asked[way] += 1
                        _one(seen, _raced(array, rng) if way == "threads" else _request(array, rng))
            seen.look(journal, since)
    return seen


def _station(folder: Path, address: str) -> Path:
    path = folder / "station.toml"
    kinds = "".join(
        f"{kind} = {{ voltage_max = {volts}, gate_max = {gate}, width_max = {width} }}\n"
        for kind, (volts, gate, width) in LOWERED.items()
    )
    path.write_text(
        f'[arrays.chip0]\naddress = "{address}"\n[arrays.chip0.limits]\nread_voltage = {READ}\n{kinds}',
        encoding="utf-8",
    )
    return path


@contextmanager
def _opened(way: str, address: str, station: Path, lowered: bool) -> Iterator[CrossbarArray]:
    with ExitStack() as stack:
        if not lowered:
            array = open_array(address)
        elif way == "station entry":
            stack.enter_context(contextlib.chdir(station.parent))
            array = open_array("chip0")
        elif way == "environment":
            stack.enter_context(mock.patch.dict(os.environ, IMSSA_STATION=str(station)))
            array = open_array("chip0")
        else:
            array = open_array(address)
            array.lower_limits(_lower(array.info.limits))
        yield stack.enter_context(array)


def _lower(limits: Limits) -> Limits:
    kinds = {
        kind: getattr(limits, kind).model_copy(update={"voltage_max": volts, "gate_max": gate, "width_max": width})
        for kind, (volts, gate, width) in LOWERED.items()
    }
    return limits.model_copy(update={"read_voltage": READ, **kinds})


def _one(seen: Seen, request: Callable[[], object]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            request()
        seen.done += 1
    except (ImssaError, ValueError, TypeError, OverflowError) as error:
        seen.refused[type(error).__name__] += 1
    except Exception as error:  # noqa: BLE001 - that it may be anything is what is measured here
        seen.strange.append(repr(error))


# ---- requests


def _request(array: CrossbarArray, rng: np.random.Generator) -> Callable[[], object]:
    """One of which something is over a limit, by a little or by far; one in ten is at the limit."""
    kind = ("set", "reset")[int(rng.integers(2))]
    volts, gate, _ = LOWERED[kind]
    shortest = getattr(array.info.limits, kind).width_min
    width = max(1e-3, shortest)
    excess = 1.0 if rng.random() < 0.1 else float(1 + 10 ** rng.uniform(-5, 3))
    sign = float(rng.choice([-1, 1]))
    cell = tuple(int(i) for i in rng.integers(SHAPE))
    voltages, gates = np.full(SHAPE, np.nan), np.full(SHAPE, np.nan)
    voltages[cell], gates[cell] = volts, gate
    strange = float(rng.choice([np.nan, np.inf, -np.inf, 9.9e37, 9.91e37, 1e300, -volts, 0.0, -0.0]))
    what = int(rng.integers(12))
    if what == 0:
        voltages[cell] = sign * volts * excess
    elif what == 1:
        gates[cell] = sign * gate * excess
    elif what == 2:
        width = LOWERED[kind][2] * excess if rng.integers(2) else shortest / (1 + excess)
    elif what == 3:
        (voltages, gates)[int(rng.integers(2))][cell] = strange
    elif what == 4:
        width = strange
    elif what == 5:
        return lambda: array.read_mvm(_caller_s(_vector(sign * READ * excess, rng), rng))
    elif what == 6:
        return lambda: array.read_mvm(_caller_s(_vector(strange, rng), rng))
    elif what == 7:
        return lambda: _changed_afterwards(array, kind, voltages, gates, width, volts * (1 + excess), rng)
    elif what == 8:
        return lambda: array.lower_limits(_raised(array.info.limits, kind, excess, rng))
    elif what == 9:
        gates[cell] = 1.0
        return lambda: array.apply_pulses(Pulses("FORM", voltages, gates, width))  # type: ignore[arg-type]
    elif what == 10:
        voltages, gates = np.full(SHAPE, sign * volts * excess), np.full(SHAPE, gate)
    return lambda: array.apply_pulses(
        Pulses(kind.upper(), _caller_s(voltages, rng), _caller_s(gates, rng), width)  # type: ignore[arg-type]
    )


def _vector(value: float, rng: np.random.Generator) -> np.ndarray:
    vectors = rng.uniform(-READ, READ, (int(rng.integers(1, 3)), SHAPE[0]))
    vectors[0, int(rng.integers(SHAPE[0]))] = value
    return vectors


def _caller_s(values: np.ndarray, rng: np.random.Generator) -> Any:
    """The same in what callers have: other types, masks, lists, subclasses."""
    choice = int(rng.integers(9))
    if choice == 0:
        return values.astype(np.float32)
    if choice == 1:
        return np.ma.masked_array(values, rng.random(values.shape) < 0.3)
    if choice == 2:
        return values.tolist()
    if choice == 3:
        return values.astype(complex)
    if choice == 4 and np.isfinite(values).all() and np.abs(values).max() < 1e9:
        return np.ceil(values).astype(int)
    if choice == 5:
        return np.asfortranarray(values)
    if choice == 6:
        return values.astype(">f8")
    if choice == 7:
        return values.astype(object)
    return values


def _changed_afterwards(
    array: CrossbarArray,
    kind: str,
    voltages: np.ndarray,
    gates: np.ndarray,
    width: float,
    high: float,
    rng: np.random.Generator,
) -> None:
    """Pulses whose arrays change after they were made: the caller's, or their own by force."""
    pulses = Pulses(kind.upper(), voltages, gates, width)  # type: ignore[arg-type]
    voltages[:], gates[:] = high, high
    if rng.integers(2):
        own = pulses.voltage if rng.integers(2) else pulses.gate
        own.flags.writeable = True
        own[:] = rng.choice([-1, 1]) * high
    if rng.integers(3) == 0:
        object.__setattr__(pulses, "width", 10 * LOWERED[kind][2])
    array.apply_pulses(pulses)


def _raised(limits: Limits, kind: str, excess: float, rng: np.random.Generator) -> Limits:
    """Limits that are higher than those that hold, or none."""
    value = float(rng.choice([np.nan, np.inf, 5 * excess, -1.0]))
    own = getattr(limits, kind)
    part = own.model_copy(update={str(rng.choice(["voltage_max", "gate_max", "width_max"])): value})
    choice = int(rng.integers(3))
    if choice == 0:
        return limits.model_copy(update={"read_voltage": value})
    if choice == 1:
        return limits.model_copy(update={kind: part})
    return Limits.model_construct(**(dict(limits) | {kind: part, "read_voltage": value}))


def _raced(array: CrossbarArray, rng: np.random.Generator) -> Callable[[], object]:
    """A request whose numbers another thread changes all the time, between the limit and far above it."""
    kind = ("set", "reset")[int(rng.integers(2))]
    volts, gate, width = LOWERED[kind]
    width = max(1e-3, min(width, getattr(array.info.limits, kind).width_min))
    shared = [np.full(SHAPE, volts), np.full(SHAPE, gate), np.full((2, SHAPE[0]), READ)]
    reading = bool(rng.integers(2))
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tuple(rng.integers(SHAPE))] = True

    def request() -> None:
        stop = threading.Event()

        def change() -> None:
            while not stop.is_set():
                for values, limit in zip(shared, (volts, gate, READ), strict=True):
                    values[:] = 6 * limit
                    values[:] = -6 * limit
                    values[:] = limit

        other = threading.Thread(target=change)
        other.start()
        try:
            if reading:
                array.read_mvm(shared[2])
            else:
                array.apply_pulses(Pulses.on(mask, kind.upper(), shared[0], shared[1], width))
        finally:
            stop.set()
            other.join()

    return request


# ---- commands


def _commands(seen: Seen, folder: Path, station: Path, count: int, rng: np.random.Generator) -> None:
    """`imssa program` with recipes beyond the limits, or with that of the chip; `imssa calibrate`."""
    from typer.testing import CliRunner

    from imssa_lab.cli import app

    targets = folder / "targets.csv"
    np.savetxt(targets, rng.uniform(20e-6, 100e-6, SHAPE), delimiter=",")
    for number in range(count):
        kind = ("set", "reset")[int(rng.integers(2))]
        ramp = ("voltage", "gate")[int(rng.integers(2))]
        start = LOWERED[kind][0 if ramp == "voltage" else 1] * (1 + 10 ** rng.uniform(-3, 1))
        changes = [f"{kind}_{ramp}=[{start!r}, {start + 1!r}, 0.25]", f"{kind}_width={10 ** rng.uniform(-3, 1)!r}"]
        out = folder / f"out{number}"
        given = ["program", str(targets), "--array", "chip0", "--out", str(out), "--recipe", "max_steps=3"]
        for change in changes[: int(rng.integers(3))]:
            given += ["--recipe", change]
        if rng.integers(4) == 0:
            given = ["calibrate", "--array", "chip0", "--file", str(folder / f"columns{number}.json")]
        with contextlib.chdir(folder):
            done = CliRunner().invoke(app, given, env={"IMSSA_STATION": str(station)})
        seen.asked["command line"] += 1
        if done.exit_code in (0, 3):
            seen.done += 1
        elif done.exit_code in (1, 2):
            seen.refused[f"exit {done.exit_code}"] += 1
        else:
            seen.strange.append(f"exit {done.exit_code}: {done.output[-200:]}")
