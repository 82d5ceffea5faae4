"""Files, folders, names and imports, counted from the source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.bars import Bars
from trials.import_graph import PACKAGES, ROOT, circles, code_files, import_graph

REPEATED = {"__init__", "wire", "conftest"}
"""Names that any folder may have: the package's, the codec's of a wire, pytest's."""
CONTRACT_LINES = 64
"""Of the import contracts at commit 96a7d76, without blank lines and comments."""


def measure(bars: Bars) -> None:
    """Every bar of the tree."""
    files = code_files()
    found = circles(import_graph(files))
    bars.check("circles between files: imports at the top, lazy, for types alone", len(found), "==", 0, _each(found))
    folders = Counter(file.parent.as_posix() for file in files)
    folder, most = folders.most_common(1)[0]
    bars.check("code files in one folder, of its own level", most, "<=", 16, folder)
    names = Counter(file.stem for file in files if file.stem not in REPEATED)
    twice = [name for name, count in names.items() if count > 1]
    bars.check("file names that occur twice", len(twice), "==", 0, ", ".join(twice))
    lines = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files}
    longest = max(lines, key=lines.__getitem__)
    bars.check("lines of the longest file", lines[longest], "<=", 400, longest.as_posix())
    rooms: Counter[str] = Counter()
    for file, count in lines.items():
        if file.parts[0] in PACKAGES:
            rooms[_room(file)] += count
    room, size = rooms.most_common(1)[0]
    every = ", ".join(f"{name} {100 * count / rooms.total():.0f}" for name, count in rooms.most_common())
    bars.check("lines in the biggest room, share", size / rooms.total(), "<=", 0.25, f"{room}; in %: {every}")
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.importlinter]")[1]
    kept = [line for line in contracts.partition("\n[tool.")[0].splitlines() if line.strip(" ") and line[0] != "#"]
    bars.check("lines of import contracts", len(kept) + 1, "<=", CONTRACT_LINES // 2, f"{CONTRACT_LINES} before")


def _room(file: Path) -> str:
    inside = file.parts[0] == "imssa_lab" and len(file.parts) > 2
    return "/".join(file.parts[:2]) if inside else file.parts[0]


def _each(found: list[list[str]]) -> str:
    return "; ".join(" - ".join(group) for group in found)
