"""The command `imssa`.

Exit codes: 0 good; 1 an error, told on stderr; 2 wrong usage; 3 done, but not as wanted: a verification level
failed, cells stand outside, or twin and chip differ; 130 stopped by Ctrl-C. `machine.takes_json` gives a verb --json.
"""

from __future__ import annotations

import typer
from typer.core import TyperGroup

from imssa_lab.cli import (
    calibrate,
    characterise,
    data,
    demo,
    deploy,
    fit,
    log,
    monitor,
    new_driver,
    program,
    recheck,
    report,
    serve,
    station,
    study,
    sweep,
    train,
    twin_check,
)
from imssa_lab.cli.session import console
from imssa_lab.errors import ImssaError


class _Guarded(TyperGroup):
    """Commands whose errors are a message on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except ImssaError as error:
            from rich.text import Text

            console(stderr=True).print(Text(f"imssa: {error}"))
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Trained S4D kernels on memristor crossbar arrays, real or simulated.",
    epilog="Exit codes: 0 good, 1 error, 2 usage, 3 done, but not as wanted, 130 Ctrl-C.",
)
app.command()(demo.demo)
app.command()(train.train)
app.command("sweep-bits")(sweep.sweep_bits)
app.add_typer(data.data, name="data")
app.command()(calibrate.calibrate)
app.command()(program.program)
app.command()(deploy.deploy)
app.command()(recheck.recheck)
app.command()(characterise.characterise)
app.command()(fit.fit)
app.command("twin-check")(twin_check.twin_check)
app.add_typer(study.study, name="study")
app.command()(serve.serve)
app.add_typer(station.station, name="station")
app.add_typer(log.log, name="log")
app.command()(monitor.monitor)
app.command("new-driver")(new_driver.new_driver)
app.command()(report.report)


def main() -> None:
    """Entry point of the script `imssa`."""
    app()
