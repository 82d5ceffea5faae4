"""make measure-peers: other simulators beside ours (ARGS=--install makes their environments)."""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from benchmarks.peers.environments import ENVIRONMENTS, PEERS, install, times
from benchmarks.speed.loop import best, one_bank
from benchmarks.speed.reads import without_wires
from benchmarks.timing import seconds
from twin import DigitalTwin, TwinProfile
from twin.wires.wire_resistance import Wires, effective_matrix

_OURS = ("supert-a0-easy", "supert-a0")
_BY_PULSES = "programmed by pulses"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="folder with one environment a peer")
    parser.add_argument("--install", action="store_true", help="make the environments first that are not there")


def products(bars: Bars, given: argparse.Namespace, peer: str) -> None:
    """Products, closed loops and programming of 64x64 cells: the peer's times, and ours of both profiles."""
    vectors, sequences = bars.size([1, 64, 1024], smoke=[1, 2]), bars.size([1, 64], smoke=[1])
    steps, repeats = bars.size(1000, smoke=3), bars.size(7, smoke=1)
    request = {"peer": peer, "vectors": vectors, "sequences": sequences, "steps": steps, "repeats": repeats}
    if not (found := _of_peer(given, peer, request)):
        return
    ours = {name: _ours(name, vectors, sequences, steps, repeats) for name in _OURS}
    if _BY_PULSES in found:  # a peer without pulses has nothing to hold ours against
        for name, of in ours.items():
            of[_BY_PULSES] = _programmed(name, repeats)
    for work, took in found.items():
        same = work.partition(", ")[2] or work
        beside = "; ".join(
            f"ours, {name}, {_words(of[same])} ({of[same] / took:.2f} times)" for name, of in ours.items()
        )
        print(f"      {peer}, {work}: {_words(took)}; {beside}", flush=True)


def _ours(name: str, vectors: list[int], sequences: list[int], steps: int, repeats: int) -> dict[str, float]:
    """Seconds of the same works on a twin, under the names that peers have for them."""
    profile = _profile(name)
    twin, found = DigitalTwin(profile, seed=0), {}
    for n in vectors:
        drive = np.random.default_rng(0).uniform(0.0, 0.2, (n, 64))
        found[f"batch {n}"] = seconds(lambda v=drive: twin.read_mvm(v), repeats)  # type: ignore[misc]
    mapping, looped = one_bank(profile)
    for n in sequences:
        inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (n, steps, 3))
        found[f"closed loop, batch {n}"] = best([looped], mapping, inputs, min(repeats, 3))
    return found


def _profile(name: str) -> TwinProfile:
    return without_wires() if name == "supert-a0-easy" else TwinProfile.load(name)


def _programmed(name: str, boards: int) -> float:
    """Seconds of write-verify of 64x64 cells by the profile's own recipe, the least of some fresh twins."""
    profile = _profile(name)
    target = np.random.default_rng(0).uniform(2e-6, 100e-6, (64, 64))
    least = float("inf")
    for seed in range(boards):
        twin = DigitalTwin(profile, seed=seed)
        started = time.perf_counter()
        twin.program_conductances(target)
        least = min(least, time.perf_counter() - started)
    return least


def wires(bars: Bars, given: argparse.Namespace) -> None:
    """Currents of arrays with wires of 1 ohm a segment: the same within 1e-9, and the time of both."""
    sizes, repeats = bars.size((32, 64, 128), smoke=(4,)), bars.size(3, smoke=1)
    for size in sizes:
        rng = np.random.default_rng(size)
        cells, voltages = rng.uniform(2e-6, 150e-6, (size, size)), rng.uniform(-0.2, 0.2, (16, size))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cells.npz"
            np.savez(path, conductance=cells, voltages=voltages, segment=1.0)
            if not (found := _of_peer(given, "badcrossbar", {"cells": str(path), "repeats": repeats})):
                return
            theirs = np.load(f"{path}.currents.npy")
        ours = seconds(lambda g=cells, v=voltages: v @ effective_matrix(g, Wires(r_word=1.0, r_bit=1.0)), repeats)  # type: ignore[misc]
        currents = voltages @ effective_matrix(cells, Wires(r_word=1.0, r_bit=1.0))
        error = float(np.abs(currents - theirs).max() / np.abs(theirs).max())
        note = f"ours {_words(ours)}, badcrossbar {_words(found['solution'])} ({ours / found['solution']:.3f} times)"
        bars.check(
            f"{size}x{size}, 16 vectors: currents beside badcrossbar's, of the largest", error, "<=", 1e-9, note
        )


def crosssim(bars: Bars, given: argparse.Namespace) -> None:
    """Says why nothing is measured."""
    print("      CrossSim is not in the package index: not measured", flush=True)


def _of_peer(given: argparse.Namespace, peer: str, request: dict[str, object]) -> dict[str, float] | None:
    folder = given.environments.resolve()
    if given.install and not (folder / peer).exists():
        install(peer, folder)
    found = times(peer, folder, request)
    if found is None:
        print(f"      {peer}: no environment in {given.environments}, not measured; --install makes it", flush=True)
    return found


def _words(took: float) -> str:
    return f"{1e6 * took:.1f} us" if took < 1e-3 else f"{1e3 * took:.2f} ms" if took < 1.0 else f"{took:.2f} s"


def _part(peer: str) -> Part:
    beside = f"{PEERS[peer].physics}; beside {_OURS[0]} without wires and {_OURS[1]}"
    return Part(lambda bars, given: products(bars, given, peer), beside, "fresh, pulses", "in process", "0")


PARTS = {
    "aihwkit": _part("aihwkit"),
    "lightning": _part("lightning"),
    "badcrossbar": Part(wires, PEERS["badcrossbar"].physics, "written", "none: the two solvers", "32, 64, 128"),
    "crosssim": Part(crosssim, "none", "none", "none", "none"),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS, options=_options))
