"""What all pages share: templates, pictures inside the page, numbers that link to their record."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PX = 96
"""CSS pixels in an inch."""


@dataclass(frozen=True)
class Cited:
    """A text, mostly a number, and the record of the run that it comes from; None where it is no measurement."""

    text: str
    record: int | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure and what is said of it, before it is put into a page or a file.

    Attributes:
        name: of its file; figure: as it is on a screen; narrow: the same on a phone, or in one column of a paper.
        caption: what it shows, of how many, and what it leaves out; records: what it was made from.
    """

    name: str
    figure: Figure
    caption: str
    records: tuple[int, ...] = ()
    narrow: Figure | None = None


@dataclass(frozen=True)
class Picture:
    """A picture inside a page.

    Attributes:
        source: data address; narrow: the same for a phone, or None; caption: what it shows.
        width: px, on a screen; records: what it was made from.
    """

    source: str
    caption: str
    width: int
    narrow: str | None = None
    records: tuple[int, ...] = ()


def picture(figure: Figure, caption: str, records: Sequence[int] = (), *, narrow: Figure | None = None) -> Picture:
    """A figure as part of a page, in vectors; `narrow` is shown instead where the page is."""
    from imssa_lab.report.svg import svg_for_pages

    def address(drawn: Figure) -> str:
        return f"data:image/svg+xml;base64,{base64.b64encode(svg_for_pages(drawn).encode()).decode()}"

    source = address(figure)  # which dresses it, and by that says how wide it is
    width = round(_PX * figure.get_figwidth())
    return Picture(source, caption, width, None if narrow is None else address(narrow), tuple(records))


def in_page(drawn: Drawing) -> Picture:
    """A drawing as part of a page."""
    return picture(drawn.figure, drawn.caption, drawn.records, narrow=drawn.narrow)


def templates() -> Environment:
    """The templates beside this file; what is put into them is escaped, and a missing name is an error."""
    return Environment(
        loader=PackageLoader("imssa_lab.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        ConfigError: it is, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists; choose another name, nothing was overwritten") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


def require_plots() -> None:
    """Ask before a long run whose report must not fail for want of matplotlib or xarray.

    Raises:
        ConfigError: one of them is not installed.
    """
    try:
        import_module("imssa_lab.report.plots")
    except ImportError as error:
        raise ConfigError(
            f'the report needs matplotlib and xarray ({error}); install them with `pip install "imssa-lab[plot]"`'
        ) from error
