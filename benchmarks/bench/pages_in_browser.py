"""Every kind of page in headless Chromium: three widths, light and dark."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from selenium.webdriver import Chrome

from benchmarks.bars import Bars
from benchmarks.bench.dry_runs import IMSSA
from imssa_lab.log import record
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.deployment.sequences import Sequences
from trials import chromium, tiny
from twin import DigitalTwin

ROOT = Path(__file__).parents[2]
_LIVE = "live"


def pages_in_browser(bars: Bars) -> None:
    """Console errors, what overflows, is cut or is hardly seen, on pages made by the commands.

    All faults are counted, and so is what they are not looked for in (`chromium.not_judged`).
    """
    if chromium.missing():
        bars.left_out(chromium.missing()) if bars.smoke else bars.check("browsers", 0, "==", 1, chromium.missing())
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = _pages(home, bars)
        for kind in dict.fromkeys(made):
            bars.check(f"{kind} pages made", len(made[kind]), ">=", 1)
        with chromium.chromium(home / "profile") as driver, _monitor(home / "night.h5") as live:
            for kind, addresses in {**made, _LIVE: [live]}.items():
                seen, wrong, left_out = 0, [], Counter[str]()
                for address in addresses:
                    for width in bars.size(chromium.WIDTHS, smoke=chromium.WIDTHS[:1]):
                        for scheme in chromium.SCHEMES:
                            chromium.set_width(driver, width)
                            chromium.set_scheme(driver, scheme)
                            driver.get(address)
                            found = chromium.problems(driver) + _other_scheme(driver, scheme)
                            wrong += [f"{address.rpartition('/')[2]}, {width} px, {scheme}: {one}" for one in found]
                            left_out.update(chromium.not_judged(driver))
                            seen += 1
                            _keep(driver, kind, address, width, scheme)
                expected = len(addresses) * len(chromium.SCHEMES) * bars.size(len(chromium.WIDTHS), smoke=1)
                bars.check(f"{kind} pages looked at, by width and scheme", seen, "==", expected)
                bars.check(f"{kind} pages: faults", len(wrong), "==", 0, "; ".join(wrong[:4]))
                print(
                    f"      not judged: {', '.join(f'{count} {what}' for what, count in left_out.items())}",
                    flush=True,
                )


def _other_scheme(driver: Chrome, scheme: str) -> list[str]:
    """A page of the documentation names the colours that it has; these must be those that were asked for."""
    named = driver.execute_script("return document.body.dataset.mdColorScheme")
    return [] if named in (None, {"light": "default", "dark": "slate"}[scheme]) else [f"it is shown in {named}"]


def _keep(driver: Chrome, kind: str, address: str, width: int, scheme: str) -> None:
    """A photograph in the folder that SCREENSHOTS names, if it does."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        name = Path(address.partition("#")[0].rstrip("/")).stem if kind != _LIVE else _LIVE
        chromium.photograph(driver, Path(folder) / f"{kind}-{name}-{width}-{scheme}.png")


def _pages(home: Path, bars: Bars) -> dict[str, list[str]]:
    """Addresses of pages by kind."""
    _night(home / "night.h5", 1)
    _imssa(home, "report", "night.h5")
    if bars.smoke:
        bars.left_out("pages of deploy, drift, characterise and compare, documentation")
        return {"report": [(home / "night.html").as_uri()]}
    _night(home / "day.h5", 2)
    tiny.bundle().save(home / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"float": 0.95, "null": 0.5}).save(home / "sequences.npz")
    array = ["--array", "twin:ideal?seed={index}&shape=16x16"]
    _imssa(home, "deploy", "bundle.safetensors", "--sequences", "sequences.npz", "--out", "run", *array)
    _imssa(home, "characterise", "--array", "twin:supert-a0?seed=1", "--out", "chip")
    _imssa(home, "compare", "night.h5", "day.h5", "--file", "compare.html")
    _imssa(
        home,
        "study",
        "drift",
        "--bundle",
        "bundle.safetensors",
        "--profile",
        "wan-2022",
        "--tests",
        "20",
        "--out",
        "aged",
    )
    made = {
        "report": [home / "run" / "report.html", home / "night.html"],
        "drift": [home / "aged" / "report.html"],
        "characterise": [home / "chip" / "report.html"],
        "compare": [home / "compare.html"],
    }
    site = home / "site"
    words = ["-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(site)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, env=quiet)
    print("      not looked at: 404.html, whose addresses begin at the root of a host", flush=True)
    made["documentation"] = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    return {kind: [path.as_uri() for path in paths] for kind, paths in made.items()}


def _night(path: Path, seed: int) -> None:
    """Two chips programmed and calibrated, products, readings at once and later."""
    arrays = [DigitalTwin("supert-a0-easy", (12, 10), seed=place) for place in (seed, seed + 10)]
    random = np.random.default_rng(0)
    with record(path, arrays, {"title": "a night"}) as chips:
        for chip in chips:
            with chip:
                chip.program_conductances(random.uniform(10e-6, 120e-6, chip.info.shape))
                calibrate_columns(chip)
                chip.read_mvm(random.uniform(0.0, chip.info.limits.read_voltage, (40, chip.info.rows)))
                chip.read_conductances(averages=24)
                chip.wait(100.0)
                chip.read_conductances(averages=4)


def _imssa(home: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-c", IMSSA, *words], cwd=home, check=True, capture_output=True)


@contextmanager
def _monitor(path: Path) -> Iterator[str]:
    """The address of the live page of a run."""
    command = [sys.executable, "-u", "-c", IMSSA, "monitor", "--web", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()
