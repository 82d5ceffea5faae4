"""`imssa report`: a run file as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, stages
from imssa_lab.contract.errors import ConfigError


@takes_json
def report(
    run: Annotated[Path, typer.Argument(help="Run file, also running or interrupted; or a folder of characterise.")],
    file: Annotated[
        Path | None, typer.Option(help="New HTML file; by default the name of the run with .html at its end.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="New folder for the pictures as vector files, instead of the page.")
    ] = None,
    figure_width: Annotated[
        str, typer.Option(help="Columns of a paper, for --figures: single (88 mm) or double (180 mm).")
    ] = "single",
    kind: Annotated[str, typer.Option("--format", help="Of --figures: pdf or svg.")] = "pdf",
    title: Annotated[str, typer.Option(help="Title of the page; by default the description in the run.")] = "",
) -> None:
    """Show a run as one self-contained HTML file: verdict, pictures, tables, provenance; numbers link to records.

    With --figures, its pictures as vector files for a paper, and what is said of each in captions.txt.

    Example: imssa report imssa-demo/run.h5 --file night-1.html
    """
    from imssa_lab.report.page import require_plots

    require_plots()
    from imssa_lab.report.characterised import write_characterised_page
    from imssa_lab.report.run_report import write_report

    if figures is not None:
        _write_figures(run, figures, figure_width, kind, file)
        return
    if run.is_dir():
        path = file or run / "report.html"
        write_characterised_page(run, path)
        console().print(str(path), markup=False)
        answer({"files": {"report": path}})
        return
    path = file or run.with_suffix(".html")
    with stages() as bars:
        write_report(run, path, title, lambda done, total: bars("draw the pictures", done, total))
    console().print(str(path), markup=False)
    answer({"files": {"report": path}})


def _write_figures(run: Path, folder: Path, width: str, kind: str, file: Path | None) -> None:
    from imssa_lab.report.characterised import characterised_figures
    from imssa_lab.report.figure_files import Column, Format, write_figures

    if file is not None:
        raise ConfigError("--figures writes pictures and --file a page; ask for one of them")
    for option, word, known in (("figure-width", width, get_args(Column)), ("format", kind, get_args(Format))):
        if word not in known:
            raise ConfigError(f"--{option} {word} is not known; choose {' or '.join(known)}")
    write = characterised_figures if run.is_dir() else write_figures
    files = write(run, folder, cast("Column", width), cast("Format", kind))
    for path in files:
        console().print(str(path), markup=False)
    answer({"files": {path.stem: path for path in files}})
