"""`imssa bundle`: what a kernel bundle holds, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.models.shown_scores import measure, numbers, with_interval
from imssa_lab.cli.models.sizes import read_shape
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, facts_table
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.s4d.bundle import KernelBundle

bundle = typer.Typer(no_args_is_help=True, help="Kernel bundles: contents and cost.")
_TOLERATED = "errors that cost two points of accuracy"
_TOLERATED_DENSE = "errors of dense layers that cost half of that"
_TOLERATED_BY_VALUES = "errors that cost two percent of the variance"
Shape = Annotated[str, typer.Option(help="Word lines and bit lines of each array.")]


@bundle.callback()
def _one_verb_so_far() -> None:
    """Kernel bundles: contents and cost."""


@bundle.command()
@takes_json
def show(
    path: Annotated[Path, typer.Argument(help="Bundle file, as `imssa train` writes it.")], shape: Shape = "64x64"
) -> None:
    """Show the contents and cost of a bundle: accuracy, parameters, arithmetic, arrays, conductance levels.

    Example: imssa bundle show model/bundle.safetensors --shape 64x64
    """
    from imssa_lab.mapping import arrays_needed
    from imssa_lab.mapping.magnitudes import needs
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.s4d.cost import cost

    lines = read_shape(shape)
    found = KernelBundle.load(path)
    spent, asked, fewest = cost(found), needs(found, lines), needs(found, lines, "area").arrays
    what, (quantised, low, high) = measure(found.goal), numbers(found.goal, found.expected_accuracy)
    table = facts_table(str(path))
    rows: list[tuple[str, str]] = [
        ("task", found.task),
        ("precision", found.precision),
        ("gives", ", ".join(found.labels) if found.goal == "values" else f"one of {len(found.labels)} classes"),
        (f"{what} in software", with_interval(found.goal, found.expected_accuracy)),
        ("layers", blocks(found)),
        ("parameters", str(spent.parameters)),
        ("multiplications a step, kernels", str(spent.kernel_macs)),
        ("multiplications a step, digital", f"{spent.digital_macs}, and {spent.head_macs} a sequence"),
        ("bit operations a step", "not known" if spent.bit_operations is None else str(spent.bit_operations)),
        ("state", f"{spent.state_bytes} bytes"),
        ("kernels", str(asked.kernels)),
        ("arrays", f"{asked.arrays} of {lines[0]}x{lines[1]}; {fewest} with kernels packed for area"),
        ("dense layers", dense(found, arrays_needed(found, lines, "all") - asked.arrays)),
        ("cells", str(spent.cells)),
        ("magnitudes of weights on an array", counted(asked.magnitudes)),
        (_TOLERATED if found.goal == "classes" else _TOLERATED_BY_VALUES, in_words(found.tolerated_errors)),
        (_TOLERATED_DENSE, dense_in_words(found.tolerated_dense_errors)),
        ("digest", found.digest()),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console().print(table)
    answer(
        {
            "task": found.task,
            "precision": found.precision,
            "goal": found.goal,
            what.lower(): {"quantised": quantised, "interval": [low, high]},
            "labels": found.labels,
            "layers": [{"channels": layer.b.shape[0], "states": layer.b.shape[1]} for layer in found.layers],
            "cost": spent,
            "blocks": blocks(found),
            "shape": lines,
            "arrays": asked.arrays,
            "arrays_packed_for_area": fewest,
            "arrays_with_dense_layers": arrays_needed(found, lines, "all"),
            "digital_layers": found.digital,
            "kernels": asked.kernels,
            "magnitudes_by_array": asked.magnitudes,
            "tolerated_errors": found.tolerated_errors,
            "tolerated_dense_errors": found.tolerated_dense_errors,
            "sha256": found.digest(),
            "provenance": dict(found.provenance),
        }
    )


def dense(bundle: KernelBundle, arrays: int) -> str:
    """Which dense layers `--layers all` puts on so many more arrays, and which stay digital, in words."""
    on_arrays = [layer.name for layer in bundle.on_arrays("all")]
    digital = [layer.name for layer in bundle.dense_layers() if layer.name not in on_arrays]
    words = f"{', '.join(on_arrays)} on {arrays} more with --layers all" if on_arrays else ""
    stay = f"{', '.join(digital)} digital" if digital else ""
    return "; ".join(part for part in (words, stay) if part)


def counted(magnitudes: tuple[int, ...]) -> str:
    """Distinct non-zero magnitudes, the most on any array, in words."""
    most = max(magnitudes)
    if most == 1:
        return "1: cells hold -g, 0 or +g"
    return f"{most} different ones besides zero"


def blocks(bundle: KernelBundle) -> str:
    """Layers, kernels and states of a bundle, and what is around the kernels, in words."""
    first = bundle.layers[0]
    sizes = "; ".join(f"{h} x {n}" for h, n in (layer.b.shape[:2] for layer in bundle.layers))
    parts: list[str] = ["both directions"] if first.bidirectional else []
    parts += [first.activation.upper() if first.activation == "gelu" else "ReLU"]
    parts += ["gated linear unit"] if first.gate == "glu" else []
    if first.layer_norm != "none":
        place = "before the kernels" if first.layer_norm == "before" else "after the residual"
        parts += [f"layer norm {place}"]
    else:
        parts += ["batch norm folded"]
    return f"{sizes} kernels x states: {', '.join(parts)}"


def in_words(tolerated: tuple[float, float, float] | None) -> str:
    """`KernelBundle.tolerated_errors` in words."""
    if tolerated is None:
        return "not known"
    products, on_input, on_impulse = tolerated
    return f"products {products:.3g}; kernels {on_input:.3g} on real input, {on_impulse:.3g} on an impulse (NRMSE)"


def dense_in_words(tolerated: tuple[float, float] | None) -> str:
    """`KernelBundle.tolerated_dense_errors` in words."""
    if tolerated is None:
        return "not known"
    return f"NRMSE {tolerated[0]:.3g} of a layer, {tolerated[1]:.3g} of its median output"


@bundle.command()
@takes_json
def export(
    path: Annotated[Path, typer.Argument(help="Bundle file, as `imssa train` writes it.")],
    file: Annotated[Path, typer.Option(help="Program to write: .pt2 for torch.export, .onnx for ONNX.")],
    sequences: Annotated[
        Path, typer.Option(help="The sequences.npz beside the bundle: length of the sequences, and a comparison.")
    ],
) -> None:
    """Write the software net of a bundle as a program for comparison in other software.

    The program takes float64 inputs (n, steps, inputs) and gives logits, or values. It is run on the test sequences
    and compared with the bundle.

    Example: imssa bundle export model/bundle.safetensors --sequences model/sequences.npz --file net.pt2
    """
    import numpy as np

    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.sequences import Sequences

    training()
    from imssa_lab.s4d.inference import run_network
    from imssa_lab.s4d.torch_program import program_outputs, write_program

    found, inputs = KernelBundle.load(path), Sequences.load(sequences).test_inputs
    exact = run_network(found, inputs)
    write_program(found, inputs.shape[1], file)
    given = program_outputs(file, inputs)
    apart = None if given is None else float(np.abs(given - exact).max())
    table = facts_table(str(file))
    largest = float(np.abs(exact).max())
    words = "not compared: onnxruntime is not installed" if apart is None else f"{apart:.2g} of {largest:.3g}"
    for name, value in (
        ("inputs", f"float64 (n, {inputs.shape[1]}, {found.inputs})"),
        ("outputs", f"float64 (n, {len(found.labels)}): {', '.join(found.labels)}"),
        ("test sequences", str(len(inputs))),
        ("largest difference from the bundle", words),
    ):
        table.add_row(name, value)
    console().print(table)
    answer(
        {
            "steps": inputs.shape[1],
            "inputs": found.inputs,
            "outputs": found.labels,
            "sequences": len(inputs),
            "difference": apart,
            "largest_output": largest,
            "files": {"program": file},
        }
    )


def training() -> None:
    """Make sure that torch is there; ConfigError says how to get it."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ConfigError(f'training needs torch ({error}): pip install "imssa-lab[train]"') from error
