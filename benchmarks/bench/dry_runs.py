"""What `imssa deploy --dry-run` says, beside what a deployment then takes on a chip that was never programmed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import Bars
from benchmarks.deploy.trained_bundles import BUNDLES
from protocols.deployment.sequences import Sequences
from trials import tiny

IMSSA = "from imssa_lab.cli import main; main()"
NEAR = 0.3
CASES = (
    ("supert-a0-easy", 1, 41),
    ("supert-a0-easy", 3, 42),
    ("supert-a0-easy", 10, 43),
    ("supert-a0", 1, 44),
    ("supert-a0", 10, 45),
)
"""Profile, arrays, and the seed of the first chip, chosen before any of them was deployed."""
OTHERS = tuple(range(101, 121))
"""Seeds of chips of the measured board, on which nothing of the forecast was chosen."""
_SHARE = 0.9
"""Of the other chips, for which the forecast with a chip record is to be near."""


@dataclass(frozen=True)
class Told:
    """One deployment: what the dry run said, and by quantity (said, found)."""

    said: dict[str, Any]
    figures: dict[str, tuple[float, float]]

    def off(self, what: str) -> float:
        """How far the forecast is off what was found, as a share of it."""
        said, found = self.figures[what]
        return abs(said / found - 1)

    def note(self, what: str) -> str:
        """The figures in words."""
        said, found = self.figures[what]
        pulses = [each["pulses"] for each in self.said["rehearsals"]]
        spread = f"{len(pulses)} rehearsals"
        spread += f" of {min(pulses)} to {max(pulses)}" if what == "pulses" else ""
        return f"{said:.4g} said, {found:.4g} found, {spread}"


def dry_runs(bars: Bars) -> None:
    """Pulses, device time and log of deployments, said beforehand and found, with and without a chip record.

    With one, the stuck cells of the chips were mapped before (`imssa characterise --only stuck`). Without one the
    forecast cannot know which cells are stuck, and is printed for comparison alone.
    """
    for profile, arrays, chip in bars.size(CASES, smoke=CASES[:1]):
        which = f"{profile}, {arrays} arrays, chip {chip}"
        told = _told(bars, profile, arrays, chip, recorded=True)
        for what in told.figures:
            bars.check(f"{which}, surveyed: {what} said, off by", told.off(what), "<=", NEAR, told.note(what))
        bars.check("arrays needed, said", told.said["arrays_needed"], "==", 1 if bars.smoke else arrays)
        if bars.smoke:
            bars.left_out("chips without a record, and others of the measured board")
            return
        first = _told(bars, profile, arrays, chip, recorded=False)
        for what in first.figures:
            print(f"      {which}, no record, not judged: {what} off by {first.off(what):.3f}  {first.note(what)}")
    for recorded in (True, False):
        seen: list[Told] = []
        for chip in OTHERS:  # without a record, all chips of a kind are told the same
            said = seen[0].said if seen and not recorded else None
            seen.append(_told(bars, "supert-a0", 1, chip, recorded=recorded, said=said))
            each = ", ".join(f"{what} off by {seen[-1].off(what):.3f}" for what in seen[-1].figures)
            print(f"      chip {chip}, {'surveyed' if recorded else 'no record'}: {each}", flush=True)
        for what in seen[0].figures:
            near = sum(each.off(what) <= NEAR for each in seen)
            worst = max(each.off(what) for each in seen)
            found = [each.figures[what][1] for each in seen]
            words = f"other chips of supert-a0, 1 array: {what} within {NEAR:.0%}"
            note = f"{near} of {len(seen)}, the worst off by {worst:.3f}; {min(found):.4g} to {max(found):.4g} found"
            if recorded:
                bars.check(f"{words}, surveyed, share", near / len(seen), ">=", _SHARE, note)
            else:
                print(f"      {words}, no record, not judged: {note}")


def _told(
    bars: Bars, profile: str, arrays: int, chip: int, *, recorded: bool, said: dict[str, Any] | None = None
) -> Told:
    """A deployment on new twins, whose stuck cells are mapped first if they are to be `recorded`."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        place = _tiny(home) if bars.smoke else _trained(arrays)
        shape = "&shape=16x24" if bars.smoke else ""
        address = f"twin:{profile}?seed={{index+{chip}}}{shape}&state={home}/chip{{index}}.h5"
        words = ["deploy", place / "bundle.safetensors", "--sequences", place / "sequences.npz"]
        words += ["--array", address, "--out", home / "night"]
        if recorded:
            record = ["--chip-record", home / "chips.sqlite"]
            for index in range(1 if bars.smoke else arrays):
                one = address.replace(f"{{index+{chip}}}", str(chip + index)).replace("{index}", str(index))
                _json("characterise", "--array", one, "--only", "stuck", "--out", home / f"map{index}", *record)
            words += record
        said = _json(*words, "--dry-run") if said is None else said
        done = _json(*words)
        size = (home / "night" / "run.h5").stat().st_size
    figures = {
        "pulses": (said["expected"]["pulses"], done["pulses"]),
        "device time, s": (said["expected"]["device_seconds"], done["device_seconds"]),
        "bytes of the log": (said["log_bytes"], size),
    }
    return Told(said, figures)


def _json(*words: object) -> dict[str, Any]:
    command = [sys.executable, "-c", IMSSA, *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):  # 3: a level failed, which takes pulses too
        raise RuntimeError(done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _tiny(place: Path) -> Path:
    tiny.bundle().save(place / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(place / "sequences.npz")
    return place


def _trained(arrays: int) -> Path:
    """A net of the demo's task that takes so many arrays; kept between runs."""
    place = BUNDLES / f"digits-first-{arrays}-arrays"
    if not (place / "bundle.safetensors").exists():
        place.mkdir(parents=True, exist_ok=True)
        words = ["train", "--arrays", str(arrays), "--file", str(place / "bundle.safetensors")]
        subprocess.run([sys.executable, "-c", IMSSA, *words], check=True, capture_output=True)
    return place
