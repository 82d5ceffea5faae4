"""`imssa characterise`: tables of what the cells of an array are like."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.dry_run import DryRunOption, show_dry_run
from imssa_lab.cli.shared.end_commands import reports_end
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.last_report import leave_report_unfinished
from imssa_lab.cli.shared.recipe_options import RecipeOption, recipe_changes
from imssa_lab.cli.shared.run_folder import bench_facts
from imssa_lab.cli.shared.session import Stages, console, of_seconds, provenance, stages
from imssa_lab.contract.errors import ConfigError
from imssa_lab.station.run_logs import next_log

REPORT = "report.html"


@takes_json
@reports_end
def characterise(
    array: Annotated[str, typer.Option(help="Address or alias of the array.", autocompletion=completion.arrays)],
    out: Annotated[Path, typer.Option(help="Folder for the tables; resumes an interrupted run.")],
    only: Annotated[
        str | None,
        typer.Option(
            help="Experiments, separated by commas: stuck, pulses, relaxation, programming, noise, iv, columns."
        ),
    ] = None,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    chip_record: Annotated[
        Path | None, typer.Option(help="Chip record (SQLite) that counts every pulse; created if it does not exist.")
    ] = None,
) -> None:
    """Measure stuck map, windows, pulse response, relaxation, programming, noise, I-V and columns of an array.

    The cells are pulsed, so their conductances are lost, unless --only names experiments that only read (noise, iv,
    columns). Every call is in a log beside the tables: run.h5, and run-1.h5 ... after a resumption. The first Ctrl-C
    lets the current call finish, makes the array safe and writes the report; a second one stops at once. The same
    command resumes.

    Example: imssa characterise --array "twin:supert-a0?seed=1" --out chip1 --dry-run
    """
    from imssa_lab.log import Recorded, RunLog
    from imssa_lab.log.write.record_sizes import check_room
    from imssa_lab.report.page import require_plots
    from imssa_lab.station.addresses import open_array
    from protocols.characterisation.protocol import Characterisation
    from protocols.chip_record import ChipRecord
    from protocols.wrappers.counted import Counted
    from protocols.wrappers.device_time import DeviceTimeReported
    from protocols.wrappers.recipe_override import RecipeOverride

    require_plots()
    names = None if only is None else [name.strip() for name in only.split(",") if name.strip()]
    if names is not None and not names:
        raise ConfigError("--only names no experiment; write for example --only stuck,noise")
    with ExitStack() as stack:
        # the recipe goes into the log, for its replay: a replayed array has none of its own
        opened = RecipeOverride(stack.enter_context(open_array(array)), None, recipe_changes(recipe))
        work = Characterisation(opened, out, only=names)
        plan = work.plan()
        console(stderr=not dry_run).print(str(plan))
        if dry_run:
            show_dry_run("characterise", plan.run, out / "run.h5")
            return
        counted = None
        if not plan.seconds:
            _finish(out, work.run())
            return
        if chip_record is not None:
            counted = Counted(opened, stack.enter_context(ChipRecord(chip_record)))
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{out} cannot be made: {error}; choose another --out") from error
        check_room(out, plan.run.log_bytes)
        log_path = next_log(out)
        clock = _Clock(plan.seconds, stack.enter_context(stages()))
        try:
            facts = provenance() | bench_facts(array, f"characterisation of {opened.info.name}")
            timed = DeviceTimeReported(counted or opened, clock.spent)
            with RunLog.create(log_path, [opened], facts) as log, Recorded(timed, log) as seen:
                note = None if counted is None else counted.note_survey
                tables = Characterisation(seen, out, only=names, note_survey=note).run(clock.stage)
        except BaseException as error:
            leave_report_unfinished(log_path, out / REPORT, error)
            error.add_note("finished parts are kept; to continue: the same command")
            raise
    _finish(out, {**tables, "log": log_path})


def _finish(out: Path, files: dict[str, Path]) -> None:
    """Write the page, which one of an unfinished run may be in place of, and name all files."""
    from imssa_lab.report.characterised import write_characterised_page

    (out / REPORT).unlink(missing_ok=True)
    write_characterised_page(out, out / REPORT)
    files["report"] = out / REPORT
    for name, path in files.items():
        console().print(f"{name}: {path}", markup=False)
    answer({"files": files})


class _Clock:
    """Progress of a characterisation in seconds of device time, out of those that its plan expects."""

    def __init__(self, expected: dict[str, float], bars: Stages) -> None:
        self._expected, self._bars = expected, bars
        self._spent, self._before = 0.0, 0.0
        self._report: dict[str, Callable[[float], None]] = {}

    def stage(self, name: str, done: int, total: int) -> None:
        """`done` of `total` parts of an experiment are over."""
        expected = self._expected.get(name, 0.0)
        if name not in self._report:
            self._report = {name: of_seconds(f"{name}, s", expected, self._bars)}
            self._before = self._spent
        if done == total:
            self._report[name](expected)

    def spent(self, seconds: float) -> None:
        """Device time of all calls so far."""
        self._spent = seconds
        for report in self._report.values():
            report(seconds - self._before)
