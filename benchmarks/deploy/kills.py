"""SIGKILL at random moments of a deployment through the serial driver, then its resumption.

The board is virtual and lives in a process of its own, so that its cells outlive the deployment; what each cell was
sent is counted there, and held against the journal and the chip record.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bars
from imssa_lab.cli.arrays.deploy import Choices, deploy_files
from imssa_lab.cli.shared.session import stages
from imssa_lab.contract.hal import Pulses
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.station.run_logs import journal_of, logs
from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.chip_record import ChipRecord
from protocols.deployment.journal import read_journal
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import TwinProfile

# what a cell was sent is counted where the board pulses it
# ruff: noqa: SLF001

_LOADED = (
    "drivers.supert_a0",
    "imssa_lab.log.write.recorded",
    "imssa_lab.report.run_report",
    "protocols.deployment.deployment",
)
"""Modules of a deployment, loaded once: a kill shall hit the deployment and not its imports."""
_BLOCK = (16, 24)
_ASKED = struct.Struct("<qq")
"""What the board is asked: a process to kill, 0 for none, and after which batch of pulses."""
_TESTS = 40
Counts = NDArray[np.int64]


def kills(bars: Bars, count: int) -> None:
    """As many kills, each followed by resuming; the verdict is that of a deployment without a kill."""
    random = np.random.default_rng(17)
    for module in _LOADED:
        import_module(module)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _files(folder)
        board = _Board()
        began = time.monotonic()
        whole = _deployed(folder, folder / "whole", board.address)
        lasts = time.monotonic() - began
        batches = board.batches()
        board.close()
        print(f"     without a kill: exit code {whole}, {lasts:.1f} s", flush=True)
        other = again = lost = more = before_plan = middle = 0
        for turn in range(count):
            board, out = _Board(), folder / f"run-{turn}"
            child = _begun(folder, out, board.address)
            if turn % 2:  # while it programs
                board.kill(child, int(random.integers(1, batches)))
            else:
                time.sleep(float(random.uniform(0.0, lasts)))
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            begun = any(path.exists() for path in logs(out))
            at_kill, entries = board.sent(), journal_of(out) if begun else []
            lost += _lost(out, at_kill)
            verdict = _deployed(folder, out, board.address, resume=begun)
            after = board.sent()
            board.close()
            other += verdict != whole
            lost += _lost(out, after)
            before_plan += not entries
            middle += 0 < at_kill.sum() < after.sum()
            pulsed, surplus = _against_the_journal(folder, out, entries, after - at_kill)
            again += pulsed
            more += surplus
        note = f"{before_plan} before the plan, {middle} between two pulses"
        bars.check(f"{count} kills: verdicts other than without", other, "==", 0, note)
        bars.check("finished cells that were pulsed again", again, "==", 0, f"{more} pulses in all after the kills")
        bars.check("pulses that the chip record lacks", lost, "==", 0)
        bars.check("kills between the first and the last pulse", middle, ">=", count // 3)


def _files(folder: Path) -> None:
    """A small bundle that uses its ranges, and test sequences that it tells apart: noise alone turns no verdict."""
    bundle = tiny.bundle()
    layer = replace(bundle.layers[0], state_range=np.array([2.2, 2.5, 3.7]))
    bundle = replace(bundle, layers=(layer,))
    bundle.save(folder / "bundle.safetensors")
    calibration, _, _ = tiny.sequences()
    test = np.random.default_rng(1).uniform(-1.0, 1.0, (10 * _TESTS, tiny.STEPS, tiny.INPUTS))
    logits = run_network(bundle, test)
    clear = np.argsort(-np.abs(logits[:, 1] - logits[:, 0]))[:_TESTS]
    labels = logits[clear].argmax(axis=1)
    Sequences(calibration, test[clear], labels, {"null": 0.5}).save(folder / "sequences.npz")


def _begun(folder: Path, out: Path, address: str, *, resume: bool = False) -> int:
    """Process of a deployment; it ends with 0 when verified, with 3 when a level failed."""

    def work() -> int:
        with stages() as told:
            choices = Choices(resume=resume, record=folder / f"{out.name}.sqlite")
            files = folder / "bundle.safetensors", folder / "sequences.npz"
            return 0 if deploy_files(*files, address, out, bars=told, choices=choices).passed else 3

    return _fork(work)


def _deployed(folder: Path, out: Path, address: str, *, resume: bool = False) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(_begun(folder, out, address, resume=resume), 0)[1])


def _fork(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return child


class _Board:
    """A virtual superT A0 in a process of its own, with cells that are not stuck."""

    def __init__(self) -> None:
        asked, self._ask = os.pipe()
        source, answer = os.pipe()
        self._child = _fork(lambda: _serve(asked, answer, (self._ask, source)))
        os.close(asked)
        os.close(answer)
        self._answers = os.fdopen(source, "rb")
        self.address = f"serial+supert-a0:{pickle.load(self._answers)}?array={{index}}&block=16x24"

    def sent(self) -> Counts:
        """Pulses that every cell of array 0 has got, (rows, cols)."""
        found: Counts = self._answer(0, 0)[0]
        return found[: _BLOCK[0], : _BLOCK[1]]

    def batches(self) -> int:
        """Batches of pulses that array 0 has got."""
        return int(self._answer(0, 0)[1])

    def kill(self, process: int, batch: int) -> None:
        """Let the board kill a process when this batch of pulses has reached the cells."""
        self._answer(process, batch)

    def _answer(self, process: int, batch: int) -> Any:
        os.write(self._ask, _ASKED.pack(process, batch))
        return pickle.load(self._answers)

    def close(self) -> None:
        """End the process."""
        os.close(self._ask)
        self._answers.close()
        os.waitpid(self._child, 0)


def _serve(asked: int, answer: int, others: tuple[int, int]) -> int:
    for end in others:
        os.close(end)
    profile = TwinProfile.load("supert-a0-easy")
    none = profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    board = SuperTBoard(profile.model_copy(update={"stuck": none, "lines": None, "overdrive": None}), seed=3)
    bench: Any = board.benches[0]
    sent = np.zeros(bench.info.shape, dtype=np.int64)
    apply = bench._apply_pulses

    batches, victim = 0, (0, 0)

    def counted(pulses: Pulses) -> None:
        nonlocal batches
        sent[pulses.mask] += 1
        apply(pulses)
        batches += 1
        if victim[0] and batches == victim[1]:
            os.kill(victim[0], signal.SIGKILL)

    bench._apply_pulses = counted
    with PtyPort(board) as port, os.fdopen(answer, "wb") as out:
        pickle.dump(port.port, out)
        out.flush()
        while message := os.read(asked, _ASKED.size):
            victim = _ASKED.unpack(message)
            if not victim[0]:
                time.sleep(0.1)  # what was on the wire when the driver was killed is done by then
            pickle.dump((sent, batches), out)
            out.flush()
    return 0


def _lost(out: Path, sent: Counts) -> int:
    """Pulses that cells got and the chip record does not know."""
    path = out.parent / f"{out.name}.sqlite"
    if not path.exists():
        return int(sent.sum())
    with ChipRecord(path) as record:
        known = record.chips()
        if not known:
            return int(sent.sum())
        return int(np.maximum(sent - record.wear(known[0]).pulses, 0).sum())


def _against_the_journal(folder: Path, out: Path, entries: list[str], sent: Counts) -> tuple[int, int]:
    """Cells that the journal called finished at the kill and that got pulses since, and pulses since."""
    if not entries:
        return 0, int(sent.sum())
    bundle = KernelBundle.load(folder / "bundle.safetensors")
    before = read_journal(entries, bundle, 1)
    after = read_journal(journal_of(out), bundle, 1)
    same = before.mapping.target(0)[0] == after.mapping.target(0)[0]
    finished = before.arrays[0].finished & same & ~after.arrays[0].stuck
    return int(np.count_nonzero(sent[finished])), int(sent.sum())
