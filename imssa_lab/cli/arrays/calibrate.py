"""`imssa calibrate`: gain and offset of every bit line, measured, checked, and written to a calibration file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.dry_run import DryRunOption, show_dry_run
from imssa_lab.cli.shared.end_commands import reports_end
from imssa_lab.cli.shared.interrupts import when_stopped
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.number_options import finite
from imssa_lab.cli.shared.run_folder import bench_facts, run_place
from imssa_lab.cli.shared.session import console, of_seconds, provenance, stages
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from imssa_lab.contract.hal import CrossbarArray
    from imssa_lab.station.calibration_file import CalibrationFile
    from protocols.characterisation.column_calibration import ColumnCheck

_KELVIN = 273.15


@takes_json
@reports_end
def calibrate(
    array: Annotated[str, typer.Option(help="Address or alias of the array.", autocompletion=completion.arrays)],
    file: Annotated[
        Path | None, typer.Option(help="New calibration file; by default the one that the station file names.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=-_KELVIN, callback=finite, help="Chip temperature, degrees Celsius; kept in the file."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Measure gain and offset of every bit line by products of known inputs, and write a calibration file.

    No cell is pulsed. The file that a station names is replaced; the log of every calibration is kept. The first
    Ctrl-C lets the current call finish and makes the array safe; a second one stops at once. Neither changes the
    file.

    Example: imssa calibrate --array "twin:supert-a0?seed=1" --file chip0.json
    """
    import numpy as np

    from imssa_lab.station.addresses import open_array, station_entry
    from protocols.characterisation.column_calibration import calibrate_columns, check_columns
    from protocols.wrappers.counting_array import CountingArray
    from protocols.wrappers.device_time import DeviceTimeReported
    from protocols.wrappers.dry_run_report import DryRun

    entry = station_entry(array)
    path = file or (None if entry is None else entry.calibration)
    if path is None:
        raise ConfigError(
            'calibrate: write --file FILE, or calibration = "FILE" under this array in the station file'
        )
    if file is not None and file.exists():
        raise ConfigError(f"{file} exists; choose another --file, nothing was overwritten")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it, or choose another place")
    with open_array(array, calibrated=False) as opened:
        dry = CountingArray(opened)
        calibrate_columns(dry)
        check_columns(dry)
        run = DryRun.of([dry])
        if dry_run:
            show_dry_run("calibrate", run, path)
            return
        console(stderr=True).print(f"calibration, {run.device_time} of device time")
        log = run_place(array, "calibrate").with_suffix(".h5")
        with stages() as bars, when_stopped(lambda: _kept(path, log)):
            progress = of_seconds("calibrate, s", run.expected.seconds(opened.info.durations), bars)
            found, check = _measured(DeviceTimeReported(opened, progress), array, log, temperature)
    found.save(path)
    rms = tuple(float(np.sqrt(np.mean(np.square(side)))) for side in (found.before, found.after))
    files = {"calibration": str(path), "log": str(log)}
    console().print(_table(found, check, rms, files))
    whole = {"silent": check.silent, "rms_before": rms[0], "rms_after": rms[1], "files": files}
    answer(found.model_dump() | whole)


def _kept(path: Path, log: Path) -> str:
    measured = f"; what was read: {log}" if log.exists() else ""
    return f"nothing was written to {path}{measured}"


def _measured(
    opened: CrossbarArray, address: str, log: Path, temperature: float | None
) -> tuple[CalibrationFile, ColumnCheck]:
    """The calibration and its check, all of it in a log of its own."""
    from imssa_lab.log import Recorded, RunLog
    from imssa_lab.station.calibration_file import CalibrationFile
    from protocols.characterisation.column_calibration import calibrate_columns, check_columns
    from protocols.chip_record import chip_id

    facts = provenance() | bench_facts(address, f"calibration of {opened.info.name}")
    with RunLog.create(log, [opened], facts) as run, Recorded(opened, run) as recorded:
        fitted = calibrate_columns(recorded)
        check = check_columns(recorded)
    found = CalibrationFile(
        chip=chip_id(opened.info),
        array=address,
        date=datetime.fromisoformat(fitted.date),
        temperature=None if temperature is None else temperature + _KELVIN,
        gain=tuple(fitted.gain.tolist()),
        offset=tuple(fitted.offset.tolist()),
        before=tuple(check.before.tolist()),
        after=tuple(check.after.tolist()),
        log=log.name,
    )
    return found, check


def _table(found: CalibrationFile, check: ColumnCheck, rms: tuple[float, ...], paths: dict[str, str]) -> Table:
    """Every bit line, then all of them together: `rms` without and with the calibration, S."""
    from rich.table import Table

    table = Table("bit line", "gain", "offset, uA", "residual before, uS", "after, uS", box=None)
    columns = zip(found.gain, found.offset, found.before, found.after, check.silent, strict=True)
    for col, (gain, offset, before, after, silent) in enumerate(columns):
        words = f"{1e6 * after:.3f}" + (" does not answer" if silent else "")
        table.add_row(str(col), f"{gain:.4f}", f"{1e6 * offset:+.3f}", f"{1e6 * before:.3f}", words)
    table.add_section()
    table.add_row("all, rms", "", "", *(f"{1e6 * value:.3f}" for value in rms))
    table.caption = "\n".join(f"{name}: {path}" for name, path in {"chip": found.chip, **paths}.items())
    return table
