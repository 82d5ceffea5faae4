"""What all pages share: templates, pictures inside the page, numbers that link to their record."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 130


@dataclass(frozen=True)
class Cited:
    """A text, mostly a number, and the record of the run that it comes from; None where it is no measurement."""

    text: str
    record: int | None = None


@dataclass(frozen=True)
class Picture:
    """A picture inside a page.

    Attributes:
        source: data address; caption: what it shows; size: "wide" or "narrow"; records: what it was made from.
    """

    source: str
    caption: str
    size: str
    records: tuple[int, ...] = ()


def picture(figure: Figure, caption: str, records: Sequence[int] = (), *, raster: bool = False) -> Picture:
    """A figure as part of a page: vectors for lines, pixels for maps and clouds of dots."""
    buffer = BytesIO()
    options: dict[str, Any] = (
        {"format": "png", "dpi": _DPI} if raster else {"format": "svg", "metadata": {"Date": None}}
    )
    figure.savefig(buffer, **options)
    kind = "image/png" if raster else "image/svg+xml"
    source = f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(source, caption, "wide" if figure.get_figwidth() > 6.5 else "narrow", tuple(records))


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
