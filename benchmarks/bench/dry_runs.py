"""What `imssa deploy --dry-run` says beside what a deployment takes on a chip that the rehearsal has not seen."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
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


def dry_runs(bars: Bars) -> None:
    """Pulses, device time and log of five deployments, said beforehand and found."""
    for profile, arrays, chip in bars.size(CASES, smoke=CASES[:1]):
        with tempfile.TemporaryDirectory() as folder:
            place = _tiny(Path(folder)) if bars.smoke else _trained(arrays)
            shape = "&shape=16x24" if bars.smoke else ""
            address = f"twin:{profile}?seed={{index+{chip}}}{shape}"
            words = ["deploy", place / "bundle.safetensors", "--sequences", place / "sequences.npz"]
            words += ["--array", address, "--out", Path(folder) / "night"]
            said, done = _json(*words, "--dry-run"), _json(*words)
            size = (Path(folder) / "night" / "run.h5").stat().st_size
        found = {
            "pulses": (said["expected"]["pulses"], done["pulses"]),
            "device time, s": (said["expected"]["device_seconds"], done["device_seconds"]),
            "bytes of the log": (said["log_bytes"], size),
        }
        for what, (expected, real) in found.items():
            name = f"{profile}, {arrays} arrays, chip {chip}: {what} said, off by"
            note = f"{expected:.4g} said, {real:.4g} found, {len(said['rehearsals'])} rehearsals"
            if what == "pulses":
                came_to = [each["pulses"] for each in said["rehearsals"]]
                note += f" of {min(came_to)} to {max(came_to)}"
            bars.check(name, abs(expected / real - 1), "<=", NEAR, note)
        bars.check("arrays needed, said", said["arrays_needed"], "==", 1 if bars.smoke else arrays)


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
