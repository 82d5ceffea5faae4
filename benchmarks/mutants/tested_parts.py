"""The parts of the code that are mutated, each with the tests that answer for it: a TOML file beside this one."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

DEFAULT = Path(__file__).with_name("parts.toml")


@dataclass(frozen=True)
class TestedPart:
    """Source files and test files, as paths relative to the root of the tree."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]


def read_parts(listing: Path, tree: Path) -> list[TestedPart]:
    """The parts of `listing`.

    Raises:
        ValueError: a pattern of the listing matches no file.
    """
    return [
        TestedPart(name, _files(tree, part["sources"], ""), _files(tree, part["tests"], "test_"))
        for name, part in tomllib.loads(listing.read_text(encoding="utf-8")).items()
        if isinstance(part, dict)
    ]


def imported_first(listing: Path) -> list[str]:
    """Packages that are imported once, before the trials."""
    return list(tomllib.loads(listing.read_text(encoding="utf-8")).get("import_first", []))


def all_tests(tree: Path) -> tuple[str, ...]:
    """Every test file of the tree."""
    return _files(tree, ["tests"], "test_")


def digest(path: Path) -> str:
    """The content of a file as 16 hexadecimal digits; "gone" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "gone"


def _files(tree: Path, patterns: list[str], prefix: str) -> tuple[str, ...]:
    found: set[str] = set()
    for pattern in patterns:
        place = tree / pattern
        matches = list(place.rglob(f"{prefix}*.py")) if place.is_dir() else list(tree.glob(pattern))
        if not matches:
            raise ValueError(f"parts of the mutation run: '{pattern}' matches no file in {tree}; correct the listing")
        found.update(path.relative_to(tree).as_posix() for path in matches)
    return tuple(sorted(found))
