"""The command `imssa`.

Exit codes: 0 good; 1 an error, printed on stderr; 2 wrong usage; 3 done, but not as wanted: a verification level
failed, cells are out of tolerance, or twin and chip differ; 130 stopped by Ctrl-C. `json_output.takes_json`
adds --json to a command.
"""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

import imssa_lab
from imssa_lab.cli.arrays import calibrate, characterise, demo, deploy, finetune, program, recheck
from imssa_lab.cli.bench import first_steps, new_driver, station
from imssa_lab.cli.models import baseline, bundles, cost_of, data, import_s4d, study, sweep_bits, train
from imssa_lab.cli.runs import compare_runs, log, monitor, report
from imssa_lab.cli.shared.session import console
from imssa_lab.cli.twins import fit, serve, twin_check
from imssa_lab.contract import own_packages
from imssa_lab.contract.errors import ImssaError

STOPPED = 130


class _Guarded(TyperGroup):
    """Commands whose errors and Ctrl-C are a message on stderr and an exit code, without a traceback.

    The notes of an error are printed too: where the report is, and how to continue.
    """

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except ImssaError as error:
            _print_error(str(error), error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            _print_error("stopped by Ctrl-C", stop)
            raise typer.Exit(STOPPED) from stop


def _print_error(what: str, error: BaseException) -> None:
    from rich.text import Text

    notes = getattr(error, "__notes__", [])
    console(stderr=True).print(Text("\n".join([f"imssa: {what}", *(f"  {note}" for note in notes)])))


app = typer.Typer(
    cls=_Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # which lets a paragraph flow, whatever lines it has in a docstring
    help="Trained S4D kernels on memristor crossbar arrays, real or simulated.",
    epilog="Exit codes: 0 good, 1 error, 2 usage, 3 done, but not as wanted, 130 Ctrl-C.",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"imssa {imssa_lab.__version__}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    own_packages.check()  # whatever the verb: importing another `twin` runs it, and it may drive instruments


app.command()(demo.demo)
app.command()(train.train)
app.command("sweep-bits")(sweep_bits.sweep_bits)
app.command()(baseline.baseline)
app.command("import-s4d")(import_s4d.import_s4d)
app.add_typer(bundles.bundle, name="bundle")
app.command()(cost_of.cost)
app.add_typer(data.data, name="data")
app.command()(calibrate.calibrate)
app.command()(program.program)
app.command()(deploy.deploy)
app.command()(recheck.recheck)
app.command()(finetune.finetune)
app.command()(characterise.characterise)
app.command()(fit.fit)
app.command("twin-check")(twin_check.twin_check)
app.add_typer(study.study, name="study")
app.command()(serve.serve)
app.add_typer(station.station, name="station")
app.add_typer(log.log, name="log")
app.command()(monitor.monitor)
app.command("new-driver")(new_driver.new_driver)
app.command()(first_steps.examples)
app.command()(first_steps.docs)
app.command()(report.report)
app.command()(compare_runs.compare)


def main() -> None:
    """Entry point of the script `imssa`."""
    app()
