"""Does Python find our own `drivers`, `protocols` and `twin`, or another module of that name?

The folders have common words for names. A `twin.py` beside a script, a folder `drivers` in the directory that Python
was started in, or another distribution that installs a package `drivers` hides ours, and what follows is an import
error that names neither. So this is asked before the first import, which would already run the other file.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from imssa_lab.contract.errors import ConfigError

ALL = ("drivers", "protocols", "twin")
MARK = '__distribution__ = "imssa-lab"'
"""A line of each `__init__`: another distribution may write its own over one of ours."""

_HOME = Path(__file__).resolve().parents[2]
"""All our packages lie side by side, in a checkout as in an installed wheel."""

_REINSTALL = "pip install --force-reinstall --no-deps imssa-lab (-e . in a checkout)"

_NEEDS = {
    "drivers": ("drivers", "protocols"),
    "imssa_lab.report": ("protocols",),
    "imssa_lab.report.fit_report": ("protocols", "twin"),
    "imssa_lab.station": ("protocols",),
    "protocols": ("protocols",),
    "twin": ("protocols", "twin"),
}


def needed_by(module: str) -> tuple[str, ...]:
    """Which of `ALL` are imported with one of our modules; none for modules of other distributions."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        if (needed := _NEEDS.get(".".join(parts[:count]))) is not None:
            return needed
    return ()


def check(names: tuple[str, ...] = ALL) -> None:
    """Check that these packages are ours; none is imported.

    Raises:
        ConfigError: another module would be imported, or one of ours is overwritten or has lost its `__init__`.
    """
    for name in names:
        spec, found = _found(name)
        ours = _HOME / name
        if found is None or _same(found, ours):
            raise ConfigError(f"{ours / '__init__.py'} is missing, which belongs to imssa_lab: {_REINSTALL}")
        if not _same(found.with_suffix(""), ours / "__init__"):
            raise ConfigError(
                f"{found} hides the package {name!r} of imssa_lab ({ours}), because Python finds it first: "
                + (_uninstall(name, found) or "rename it, or run Python from another folder")
            )
        if spec is not None and MARK not in (_source(spec) or MARK):
            raise ConfigError(
                f"{found} is not that of imssa_lab: another distribution has overwritten the package {name!r}: "
                + (_uninstall(name, found) or _REINSTALL)
            )


def _found(name: str) -> tuple[ModuleSpec | None, Path | None]:
    """What `import` gives for a name, and where it is: a file, or the folder of a package without `__init__`."""
    loaded = sys.modules.get(name)
    spec = find_spec(name) if loaded is None else loaded.__spec__
    if spec is None:
        return None, None if loaded is None else Path(getattr(loaded, "__file__", None) or f"module {name}")
    return spec, Path(spec.origin or next(iter(spec.submodule_search_locations or ()), f"module {name}"))


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _source(spec: ModuleSpec) -> str | None:
    """None where only compiled code is installed."""
    get_source = getattr(spec.loader, "get_source", None)
    source: str | None = None if get_source is None else get_source(spec.name)
    return source


def _uninstall(name: str, found: Path) -> str:
    """What to do where another distribution installed the file; empty where none did."""
    from importlib.metadata import distribution, packages_distributions  # slow, and only an error needs it

    for owner in sorted({*packages_distributions().get(name, ())} - {"imssa-lab"}):
        installed = distribution(owner)
        if any(_same(Path(str(installed.locate_file(path))), found) for path in installed.files or ()):
            return f"it belongs to the distribution {owner}: pip uninstall {owner}, then {_REINSTALL}"
    return ""
