"""`imssa fit`: from measured data to a twin profile, with proof of how well it fits."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.number_options import finite
from imssa_lab.cli.shared.session import console, facts_table, new_folder, provenance, stages
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twin.fitting.fit_outcome import Outcome
    from twin.fitting.quantities import FitChoices
    from twin.fitting.tables.measured_tables import Reading
    from twin.profile import TwinProfile

LAW_FAILS = 3


class Quantity(StrEnum):
    """What can be fitted."""

    AUTO = "auto"
    RELAXATION = "relaxation"
    PROGRAMMING = "programming"
    IV = "iv"
    STUCK = "stuck"
    NOISE = "noise"
    COLUMNS = "columns"


class Model(StrEnum):
    """Laws that compete; `best` lets cells that were not fitted decide."""

    BEST = "best"
    GAUSSIAN = "gaussian"
    TAILED = "tailed"


Pairs = list[str] | None


@takes_json
def fit(
    data: Annotated[
        Path,
        typer.Argument(
            help="Table (.csv .tsv .txt .parquet .xlsx .h5 .nc, also .gz), a run file, or the folder of a "
            "characterisation, which makes one whole profile."
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for profile.toml, report.html and report.json.")],
    quantity: Annotated[
        Quantity, typer.Option(help="What to fit; auto: whatever the columns allow.")
    ] = Quantity.AUTO,
    column: Annotated[Pairs, typer.Option(help="ROLE=NAME of a column, e.g. conductance=g; may be repeated.")] = None,
    unit: Annotated[Pairs, typer.Option(help="ROLE=UNIT if not SI, e.g. conductance=uS; may be repeated.")] = None,
    constant: Annotated[
        Pairs, typer.Option(help="ROLE=VALUE (SI) of a value that the file lacks; may be repeated.")
    ] = None,
    keep: Annotated[Pairs, typer.Option(help="ROLE=LOW:HIGH (SI) of the rows to use; may be repeated.")] = None,
    names: Annotated[
        str, typer.Option(help="Names of the columns of a file without header, separated by commas.")
    ] = "",
    sheet: Annotated[str, typer.Option(help="Sheet of a workbook.")] = "",
    separator: Annotated[
        str, typer.Option(help="Between the columns of a text file: , ; a tab as \\t, or a blank for any blanks.")
    ] = "",
    decimal: Annotated[str, typer.Option(help="Decimal point of a text file: . or ,")] = ".",
    melt: Annotated[str, typer.Option(help="Role of the numbers in the headers, e.g. target.")] = "",
    base: Annotated[
        str,
        typer.Option(
            help="Profile from which all other sections are taken: a preset or a .toml file.",
            autocompletion=completion.profiles,
        ),
    ] = "ideal",
    name: Annotated[str, typer.Option(help="Name of the profile; by default the name of the folder.")] = "",
    model: Annotated[Model, typer.Option(help="Law of displacements by level.")] = Model.BEST,
    broken_at: Annotated[
        list[float] | None,
        typer.Option(callback=finite, help="Time (s) at which a new series of measurements begins; may be repeated."),
    ] = None,
    series: Annotated[
        float, typer.Option(min=0, callback=finite, help="Resistance in series with the cells of I-V curves, ohm.")
    ] = 0.0,
    read_interval: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="Seconds between readings of a trace without times.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split of the cells and of the bootstrap.")] = 0,
) -> None:
    """Fit a twin profile to measured data and test it on cells that were not fitted.

    Exit code 3: profile and report are written, but the law does not hold on the cells that were not fitted.

    Example: imssa fit relax.csv --column conductance=g --column initial=g0 --unit conductance=uS
    --unit initial=uS --out my-chip
    """
    import numpy as np

    from imssa_lab.cli.shared.target_files import read_separator
    from imssa_lab.report.page import require_plots
    from twin.fitting.profile_file import fitted_profile, write_profile
    from twin.fitting.quantities import FitChoices
    from twin.fitting.tables.measured_tables import Reading
    from twin.profile import TwinProfile

    require_plots()
    reading = Reading(
        columns=_pairs("column", column),
        units=_pairs("unit", unit),
        constants={role: _number("constant", value) for role, value in _pairs("constant", constant).items()},
        names=tuple(part.strip() for part in names.split(",") if part.strip()),
        sheet=sheet or None,
        melt=melt or None,
        keep={role: _range(value) for role, value in _pairs("keep", keep).items()},
        separator=read_separator(separator) or None,
        decimal=decimal,
    )
    choices = FitChoices(
        "" if model is Model.BEST else model.value, tuple(broken_at or ()), series, read_interval or None
    )
    kept = TwinProfile.load(base)
    if data.is_dir():
        _refuse_for_a_session(data, quantity, reading)
    new_folder(out)
    with stages() as bars:
        if data.is_dir():
            from twin.fitting.session.whole_session import fit_session

            session = fit_session(data, kept, choices, np.random.default_rng(seed), bars)
            source, kept, outcome = data.name, session.base, session.together()
        else:
            source, outcome = _outcome(data, quantity, reading, choices, seed, kept, bars)
    profile = fitted_profile(
        kept, outcome.sections, name or out.resolve().name, f"{outcome.quantity} fitted to {source}; else {kept.name}"
    )
    from imssa_lab.report.fit_report import as_json, fit_verdicts, write_fit_report

    facts = provenance() | {"data": source, "base profile": kept.name, "seed": str(seed)}
    write_profile(out / "profile.toml", profile, f"{outcome.quantity}: fitted to {source}\nall else: {kept.name}")
    write_fit_report(out, outcome, facts)
    verdicts = fit_verdicts(outcome)
    _show(outcome, verdicts, out, kept.name)
    files = {name: out / file for name, file in (("profile", "profile.toml"), ("report", "report.html"))}
    answer(as_json(outcome, facts) | {"files": files})
    if not all(good for _, _, good in verdicts):
        raise typer.Exit(LAW_FAILS)


def _refuse_for_a_session(folder: Path, quantity: Quantity, reading: Reading) -> None:
    from twin.fitting.session.whole_session import is_session
    from twin.fitting.tables.measured_tables import Reading

    if not is_session(folder):
        raise ConfigError(
            f"{folder} is no folder of a characterisation; give a file, or what `imssa characterise` wrote"
        )
    if quantity is not Quantity.AUTO or reading != Reading():
        raise ConfigError(
            f"{folder}: a session is fitted whole and its columns are known; leave --quantity, --column and the like "
            "out, or give one of its tables"
        )


def _outcome(
    data: Path,
    quantity: Quantity,
    reading: Reading,
    choices: FitChoices,
    seed: int,
    base: TwinProfile,
    progress: Callable[[str, int, int], None],
) -> tuple[str, Outcome]:
    """What was fitted, and to which data."""
    import numpy as np

    from twin.fitting import quantities
    from twin.fitting.bit_lines import fit_columns
    from twin.fitting.session.session_tables import table_kind
    from twin.fitting.session.simulated_sweeps import SingleReads
    from twin.fitting.session.whole_session import fit_one_table
    from twin.fitting.tables import run_tables
    from twin.fitting.tables.measured_tables import read_table

    rng = np.random.default_rng(seed)
    kind = table_kind(data)
    if kind is not None and quantity in (Quantity.AUTO, Quantity.STUCK, Quantity.COLUMNS):
        reads = SingleReads(base.read_noise, base.read_voltage, base.adc)
        return data.name, fit_one_table(data, kind, reads, rng)
    if not run_tables.is_run(data):
        if quantity is Quantity.COLUMNS:
            raise ConfigError(f"{data}: columns are fitted from run files only; record one with `imssa deploy`")
        table = read_table(data, reading)
    elif quantity is Quantity.COLUMNS:
        return data.name, fit_columns(*run_tables.products(data), rng)
    elif quantity is Quantity.RELAXATION:
        table = run_tables.relaxation_table(data)
    elif quantity in (Quantity.AUTO, Quantity.PROGRAMMING):
        table = run_tables.programming_table(data)
    else:
        raise ConfigError(
            f"{data} is a run file; from it --quantity programming, relaxation or columns can be fitted"
        )
    which = quantities.quantity_of(table) if quantity is Quantity.AUTO else quantity.value
    return table.source, quantities.fit_quantity(table, which, choices, rng, progress)


def _show(outcome: Outcome, tests: list[tuple[str, str, bool]], out: Path, base: str) -> None:
    from rich.text import Text

    table = facts_table(f"fit of {outcome.quantity}")
    rows = [
        *outcome.facts.items(),
        *((what, f"{got}  {'passed' if good else 'FAILED'}") for what, got, good in tests),
    ]
    if outcome.chosen:
        rows.append(("model", outcome.chosen))
    poor = sum(p.poor for p in outcome.parameters)
    rows.append(("parameters known worse than their size", f"{poor} of {len(outcome.parameters)}"))
    rows += [("note", str(remark)) for remark in outcome.remarks]
    rows += [("not determined", text) for text in outcome.undetermined]
    rows.append(("not touched", f"every other section is that of {base!r}"))
    for key, value in rows:
        table.add_row(Text(key), Text(value))
    console().print(table)
    console().print(f"profile  {out / 'profile.toml'}\nreport   {out / 'report.html'}")


def _pairs(option: str, given: Pairs) -> dict[str, str]:
    found = {}
    for text in given or []:
        role, equals, value = text.partition("=")
        if not (role and equals and value):
            raise ConfigError(f"--{option} {text!r}: write ROLE=VALUE, for example --{option} conductance=...")
        found[role] = value
    return found


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"--{option}: {text!r} is no number") from error


def _range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise ConfigError(f"--keep: {text!r} is no range; write LOW:HIGH, for example --keep initial=0:128e-6")
    return _number("keep", low), _number("keep", high)
