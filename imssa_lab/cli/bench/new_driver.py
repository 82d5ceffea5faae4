"""`imssa new-driver`: a driver package to fill in, which works as it is on a made-up board."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.shared.session import console, new_folder
from imssa_lab.contract.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*([-+][a-z0-9]+)*")


def new_driver(
    name: Annotated[
        str, typer.Argument(help="Name of the driver, with which its addresses begin, for example my-board.")
    ],
    out: Annotated[Path | None, typer.Option(help="New folder for the package; by default NAME.")] = None,
) -> None:
    """Write a package with a template of a driver: it opens a made-up board and passes the contract's tests.

    Example: imssa new-driver my-board
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from imssa_lab.station.addresses import drivers

    if not _NAME.fullmatch(name):
        raise ConfigError(f"new-driver {name!r}: write small letters, digits, - and +, for example my-board")
    module = re.sub("[-+]", "_", name)
    if name in drivers():
        raise ConfigError(f"new-driver: there is a driver {name!r} already; choose another name")
    if keyword.iskeyword(module) or find_spec(module) is not None:
        raise ConfigError(f"new-driver: Python knows another {module!r} already; choose another name")
    where = out or Path(name)
    new_folder(where)
    templates = Environment(
        loader=PackageLoader("imssa_lab.cli.bench", "driver"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    words = {"name": name, "module": module, "title": "".join(part.capitalize() for part in module.split("_"))}
    for template in templates.list_templates():
        path = where / template.removesuffix(".j2").replace("module", module)
        path.write_text(templates.get_template(template).render(words), encoding="utf-8")
    then = f"pip install -e {where}; pytest {where}; then fill in {where / module}.py"
    console().print(f"{where} written; now: {then}", markup=False)
