"""Pictures of a run as files for a paper."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Literal

from imssa_lab.contract.errors import ConfigError
from imssa_lab.log.run import open_run
from imssa_lab.report import measured
from imssa_lab.report.page import Drawing
from imssa_lab.report.plots.style import DOUBLE_COLUMN, SINGLE_COLUMN, dress
from imssa_lab.report.run_pictures import run_pictures
from imssa_lab.report.svg import save_svg

Column = Literal["single", "double"]
Format = Literal["pdf", "svg"]
CAPTIONS = "captions.txt"


def write_figures(run_file: str | Path, folder: Path, column: Column = "single", kind: Format = "pdf") -> list[Path]:
    """The pictures of a run's report as vector files in a new folder, and what is said of them in captions.txt.

    Args:
        column: of a journal: one (88 mm), or two (180 mm) for pictures of several panels.

    Raises:
        ConfigError: the folder exists or cannot be made; LogError: the run cannot be read.
    """
    with open_run(run_file) as run:
        outcome, data = measured.outcome_of(run), measured.programmed(run)
        return figure_files(run_pictures(run, outcome, data), folder, column, kind)


def figure_files(drawings: Iterable[Drawing], folder: Path, column: Column, kind: Format) -> list[Path]:
    """Drawings as vector files in a new folder, named as they are, and their captions; see `write_figures`."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ConfigError(f"{folder} exists; choose another name, nothing was overwritten") from error
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error}") from error
    style = SINGLE_COLUMN if column == "single" else DOUBLE_COLUMN
    files, captions = [], []
    for drawn in drawings:
        figure = drawn.narrow if column == "single" and drawn.narrow is not None else drawn.figure
        path = folder / f"{drawn.name}.{kind}"
        dress(figure, style)
        if kind == "svg":
            save_svg(figure, path)
        else:
            figure.savefig(path, metadata={"CreationDate": None})
        files.append(path)
        records = ", ".join(map(str, drawn.records))
        captions.append(fill(f"{path.name}: {drawn.caption}{f' Records {records}.' if records else ''}", 100))
    path = folder / CAPTIONS
    path.write_text("\n\n".join(captions) + "\n", encoding="utf-8")
    return [*files, path]
