"""`imssa deploy`: a bundle on arrays, recorded, verified on four levels, and reported."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.session import Sequences, Stages, console, new_folder, provenance, stages

if TYPE_CHECKING:
    from imssa_lab.hal import CrossbarArray
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deploy import Deployment

LOG, RESULT, REPORT = "run.h5", "result.json", "report.html"
LEVEL_FAILED = 3


def deploy(
    bundle: Annotated[Path, typer.Argument(help="Kernel bundle, as `imssa train` writes it.")],
    sequences: Annotated[Path, typer.Option(help="The sequences.npz that `imssa train` wrote beside it.")],
    array: Annotated[str, typer.Option(help="Address of the arrays; {index} stands for 0, 1, ...")],
    out: Annotated[Path, typer.Option(help="Folder for log, result and report; new or empty.")],
) -> None:
    """Put a bundle on arrays, verify it on four levels, and report."""
    from imssa_lab.cli.result import result_table

    with stages() as told:
        outcome = deploy_files(bundle, sequences, array, out, told=told)
    reference = Sequences.load(sequences).reference
    console().print(result_table(outcome, reference, told.seconds, written(out)))
    if not outcome.passed:
        raise typer.Exit(LEVEL_FAILED)


def written(out: Path) -> dict[str, str]:
    """What a deployment leaves in its folder, by name."""
    return {"log": str(out / LOG), "result": str(out / RESULT), "report": str(out / REPORT)}


def deploy_files(
    bundle_path: Path,
    sequences_path: Path,
    template: str,
    out: Path,
    *,
    told: Stages,
    first_index: int = 0,
    facts: dict[str, str] | None = None,
    fresh: bool = True,
) -> Deployment:
    """Deploy a bundle file and leave log, result and report in `out`.

    Args:
        template: address of the arrays, ``{index}`` counting from `first_index`.
        facts: more provenance; fresh: refuse a folder that is not empty.

    Raises:
        ConfigError: `out` is in use, or an address is wrong; BundleError, DeploymentError: nothing was pulsed.
    """
    from imssa_lab.cli.result import result_text
    from imssa_lab.log import Recorded, RunLog
    from imssa_lab.report.html import load_plots, write_report
    from imssa_lab.s4d.bundle import KernelBundle

    load_plots()
    told("open the arrays", 0, 1)
    bundle = KernelBundle.load(bundle_path)
    sequences = Sequences.load(sequences_path)
    with ExitStack() as stack:
        arrays = _open(stack, template, first_index, bundle)
        if fresh:
            new_folder(out)
        kept = provenance() | (facts or {})
        kept |= {
            "array": template,
            "bundle": os.path.relpath(bundle_path, out),
            "bundle sha256": bundle.digest(),
            "sequences": os.path.relpath(sequences_path, out),
            "sequences sha256": hashlib.sha256(sequences_path.read_bytes()).hexdigest(),
        }
        log = stack.enter_context(RunLog.create(out / LOG, arrays, kept))
        recorded = [stack.enter_context(Recorded(array, log, index)) for index, array in enumerate(arrays)]
        told("open the arrays", 1, 1)
        try:
            outcome = sequences.deploy(bundle, recorded, told)
        except BaseException as error:
            log.event("error", f"{type(error).__name__}: {error}")
            raise
        for level in outcome.levels:
            log.event("level", str(level))
        text = result_text(outcome, bundle.digest(), sequences.reference)
        log.event("result", text)
    told("write the report", 0, 1)
    (out / RESULT).write_text(text, encoding="utf-8")
    write_report(
        out / REPORT,
        outcome,
        title=f"{bundle.task}, {bundle.precision}, on {arrays[0].info.name}",
        float_accuracy=sequences.reference.get("float"),
        provenance=kept | {"chips": ", ".join(array.info.serial for array in arrays)},
    )
    told("write the report", 1, 1)
    return outcome


def _open(stack: ExitStack, template: str, first: int, bundle: KernelBundle) -> list[CrossbarArray]:
    """As many arrays as the bundle needs; the first one tells how many those are."""
    from imssa_lab.mapping import kernel_block, kernels_per_array
    from imssa_lab.station import addresses, open_array

    arrays = [stack.enter_context(open_array(addresses(template, 1, first)[0]))]
    kernels = sum(len(layer.d) for layer in bundle.layers)
    size = kernel_block(bundle.layers[0], 0).size
    each = kernels_per_array(size, arrays[0].info.shape)
    count = -(-kernels // each) if each else 1  # a kernel that fits no array is for `deploy` to refuse
    for spec in addresses(template, count, first)[1:]:
        arrays.append(stack.enter_context(open_array(spec)))
    return arrays
