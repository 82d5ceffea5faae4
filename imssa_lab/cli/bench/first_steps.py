"""`imssa docs` and `imssa examples`: where the documentation is, and scripts for a bench to begin with."""

from __future__ import annotations

import webbrowser
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

import imssa_lab
from imssa_lab.cli.shared.json_output import answer, json_asked, takes_json
from imssa_lab.cli.shared.session import console, new_folder
from imssa_lab.contract.errors import ConfigError

_BENCH = ("share", "imssa_lab", "bench")
"""Where a wheel puts the scripts, below the folder of the environment."""
_DISTRIBUTION = "imssa-lab"


@takes_json
def docs(
    show: Annotated[bool, typer.Option("--print", help="Print its location; open nothing.")] = False,
) -> None:
    """Open the documentation: that of the checkout if there is one (`make docs`), else that on the project's page.

    Example: imssa docs --print
    """
    place = documentation()
    console().print(place, markup=False)
    answer({"documentation": place})
    if not show and not json_asked():
        webbrowser.open(place)


def documentation() -> str:
    """Address of the documentation.

    Raises:
        ConfigError: there is no checkout, and the distribution names none.
    """
    root = Path(imssa_lab.__file__).parents[1]
    for page in (root / "build" / "site" / "index.html", root / "docs" / "index.md"):
        if page.is_file():
            return page.as_uri()
    try:
        named = dict(
            each.split(", ", 1) for each in metadata.metadata(_DISTRIBUTION).get_all("Project-URL", failobj=[])
        )
    except metadata.PackageNotFoundError:
        named = {}
    if "Documentation" not in named:
        raise ConfigError("this installation does not say where its documentation is; see docs/ of the repository")
    return str(named["Documentation"])


@takes_json
def examples(
    folder: Annotated[Path, typer.Argument(help="New or empty folder for the scripts.")],
) -> None:
    """Write the six scripts for a bench: read, characterise, make a twin, deploy, watch drift, repeat.

    Example: imssa examples bench
    """
    scripts = bench_scripts()
    if not scripts:
        raise ConfigError("this installation has no example scripts; they are in bench/ of the repository")
    new_folder(folder)
    written = []
    for script in scripts:
        written.append(folder / script.name)
        written[-1].write_bytes(script.read_bytes())
        first = script.read_text(encoding="utf-8").splitlines()[0].strip('"')
        console().print(f"{written[-1]}: {first}", markup=False)
    console().print(f'now: python {written[0]} --array "twin:supert-a0?seed=1" --out first', markup=False)
    answer({"files": written})


def bench_scripts() -> list[Path]:
    """The scripts, of the checkout or of the wheel that is installed; none where neither has them."""
    beside = sorted((Path(imssa_lab.__file__).parents[1] / "bench").glob("0*.py"))
    if beside:
        return beside
    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    mine = [Path(str(each.locate())) for each in files if each.parts[-4:-1] == _BENCH and each.suffix == ".py"]
    return sorted(path for path in mine if path.is_file())
