"""twin-check: identical models must agree, planted changes must be found, over many chips."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bars import Bars
from benchmarks.twin.planted_aspects import finds
from imssa_lab.log import open_run, record
from protocols.characterisation.experiments import Schedule
from protocols.characterisation.protocol import Characterisation
from twin import DigitalTwin, TwinProfile
from twin.fitting.comparison import compare_twin

_MUST_FIND = 0.9


def measure(bars: Bars) -> None:
    """Characterised chips against twins of their own profile, and of profiles with one law changed."""
    kind = _kind()
    chips, side = bars.size(20, smoke=1), bars.size(64, smoke=20)
    changed = _changes(kind)
    alarms, found = 0, dict.fromkeys(changed, 0)
    with tempfile.TemporaryDirectory() as name:
        for chip in range(chips):
            path = _session(kind, Path(name) / str(chip), chip, side)
            with open_run(path) as run:
                seeds = tuple(5000 + 3 * chip + i for i in range(3))
                alarms += compare_twin(run, kind, seeds).verdict == "differ"
                for what, profile in changed.items():
                    found[what] += finds(compare_twin(run, profile, seeds), what)
    bars.check(f"twin-check, identical model: false alarms, {chips} chips", alarms / chips, "<=", 0.05)
    for what, count in found.items():
        bars.check(f"twin-check, {what}: found", count / chips, ">=", _MUST_FIND)


def _kind() -> TwinProfile:
    """The board in the middle of its statistics, with bit lines that differ by 2 % and cells that relax."""
    board = TwinProfile.load("supert-a0-easy")
    columns = board.columns.model_copy(update={"gain_spread": 0.02})
    stuck = board.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    return TwinProfile.model_validate(
        board.model_dump(exclude_none=True)
        | {"columns": columns.model_dump(), "stuck": stuck.model_dump(), "relaxation": _relaxation(1.0)}
    )


def _relaxation(scale: float) -> dict[str, Any]:
    """Cells that spread by half a microsiemens at one second and 1.5 at a thousand, one in ten down by more."""
    return {
        "kind": "log-time",
        "t0": 0.01,
        "levels": [10e-6, 150e-6],
        "times": [1.0, 1000.0],
        "shift": [[0.0, 0.0], [-0.3e-6 * scale, -0.3e-6 * scale]],
        "core": [[0.5e-6 * scale] * 2, [1.5e-6 * scale] * 2],
        "down": [[1e-6 * scale] * 2, [4e-6 * scale] * 2],
        "down_share": [[0.1] * 2, [0.2] * 2],
        "up": [[1e-6 * scale] * 2, [2e-6 * scale] * 2],
        "up_share": [[0.05] * 2, [0.1] * 2],
        "correlation": [0.6],
    }


def _changes(kind: TwinProfile) -> dict[str, TwinProfile]:
    def with_(**sections: dict[str, Any]) -> TwinProfile:
        whole = kind.model_dump(exclude_none=True)
        return TwinProfile.model_validate(
            whole | {name: {**whole[name], **values} for name, values in sections.items()}
        )

    return {
        "SET noise x1.5": with_(set={"cycle_spread": 1.5 * kind.set.cycle_spread}),
        "stuck 0 -> 1 %": with_(stuck={"on_fraction": 0.005, "off_fraction": 0.005}),
        "relaxation x1.5": with_(relaxation=_relaxation(1.5)),
        "column gain +5 %": with_(columns={"gain": 1.05 * kind.columns.gain}),
        "read noise x1.5": with_(read_noise={"sd_median": 1.5 * kind.read_noise.sd_median}),
    }


def _session(kind: TwinProfile, folder: Path, seed: int, side: int) -> Path:
    folder.mkdir()
    schedule = Schedule(reads=10, times=(1.0, 100.0, 1000.0), averages=4)
    with record(folder / "run.h5", [DigitalTwin(kind, (side, side), seed)], {}) as (array,):
        Characterisation(array, folder / "tables", schedule=schedule).run()
    return folder / "run.h5"
