"""`imssa cost`: what an inference costs, or what the reads of a run took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.arrays.layers_option import LayersOption, OnArrays
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, facts_table, stages
from imssa_lab.station.run_logs import LOG

if TYPE_CHECKING:
    from imssa_lab.s4d.dense_layer import Layers
    from protocols.cost.energy_figures import EnergyTable, NetworkEnergy, Range, ReadsEnergy

_SEQUENCES = 16
NOT_DECIDABLE = (
    "not decidable: nobody says how long the read voltage is applied; name it in the profile ([timing] applied, s)"
)


@takes_json
def cost(
    what: Annotated[Path, typer.Argument(help="Kernel bundle; or a run file, or the folder of a deployment.")],
    array: Annotated[
        str,
        typer.Option(
            help="For a bundle: kind of array, by its address or the name of a profile.",
            autocompletion=completion.arrays,
        ),
    ] = "twin:supert-a0",
    sequences: Annotated[
        Path | None, typer.Option(help="For a bundle: test sequences; by default the sequences.npz beside it.")
    ] = None,
    averages: Annotated[int, typer.Option(min=1, help="For a bundle: reads of every time step.")] = 1,
    packing: Annotated[
        str,
        typer.Option(
            help="For a bundle: how kernels share arrays, for few products (time) or for few arrays (area).",
            autocompletion=completion.packings,
        ),
    ] = "time",
    layers: LayersOption = OnArrays.KERNELS,
    energy: Annotated[
        Path | None, typer.Option(help="TOML table of figures with sources, instead of the one supplied.")
    ] = None,
) -> None:
    """Count what an inference costs on the arrays and on the digital side, and print its energy as a range.

    For a bundle: one inference on arrays of one kind; one array is opened and none is driven. For a run: every read
    that was made, with the conductances that were read.

    Energy is calculated from a table of published figures, each with its source. The energy of the same network in
    8-bit integers is always shown too. Wires, amplifiers, leakage, control and instruments are not included.

    Example: imssa cost model/bundle.safetensors --array twin:supert-a0
    """
    from protocols.cost.energy_figures import EnergyTable

    table = EnergyTable.load(energy)
    run = what / LOG if what.is_dir() else what
    if what.is_dir() or what.suffix == ".h5":
        _of_run(run, table)
    else:
        _of_bundle(what, array, sequences, averages, packing, layers.value, table)


def _of_bundle(
    path: Path,
    address: str,
    sequences: Path | None,
    averages: int,
    packing: str,
    layers: Layers,
    table: EnergyTable,
) -> None:
    from imssa_lab.cli.shared.packing_option import packing_asked, packing_facts, packing_words
    from imssa_lab.report.inference_words import inference_facts, with_prefix
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.station.addresses import addresses, open_array, station_entry
    from protocols.cost.energy_figures import break_even
    from protocols.cost.predicted_cost import predicted_cost
    from protocols.deployment.sequences import Sequences

    bundle = KernelBundle.load(path)
    inputs = Sequences.load(sequences or path.parent / "sequences.npz").test_inputs[:_SEQUENCES]
    named = address if ":" in address or station_entry(address) is not None else f"twin:{address}"
    asked = packing_asked(packing) or "time"
    with open_array(addresses(named, 1)[0]) as array:
        found = predicted_cost(bundle, array, inputs, averages, layers, asked)
        other = predicted_cost(bundle, array, inputs, averages, layers, "area" if asked == "time" else "time")
    (rows, cols), counts, n, spent = found.info.shape, found.counts, found.sequences, found.energy(table)
    drives, power = found.reads.drives / n, found.reads.square_volts_siemens / n
    below = break_even(counts.on_arrays, counts.conversions, table)
    _show(
        f"one inference of {path}",
        [
            (
                "arrays",
                f"{found.mapping.arrays} of {rows}x{cols}, {found.info.name}, packed for {asked}, as planned without "
                "faults",
            ),
            (f"packed for {other.mapping.packing} instead", packing_words(other, other.energy(table))),
            *inference_facts(counts.facts()),
            ("line drives", f"{drives:.0f}, mean of {n} sequences; at most {counts.lines}"),
            ("sum of V^2 G", f"{with_prefix(power, 'W')}, cells at their targets"),
            *_reads(spent.reads),
            *_network(spent),
            ("break-even", f"a conversion must take less than {_between(below)}, all else for nothing"),
        ],
        table,
    )
    answer(
        {
            "array": found.info.name,
            "arrays": found.mapping.arrays,
            "packing": asked,
            "packings": {each.mapping.packing: packing_facts(each, each.energy(table)) for each in (found, other)},
            "inference": counts.facts(),
            "line_drives": drives,
            "square_volts_siemens": power,
            "applied": found.applied,
            "energy": spent,
            "break_even_conversion": below,
            "table": table,
        }
    )


def _of_run(path: Path, table: EnergyTable) -> None:
    from imssa_lab.log import open_run
    from imssa_lab.report.inference_words import inference_facts, with_prefix
    from imssa_lab.report.measured import outcome_of, reads_made
    from protocols.cost.energy_figures import Range, ReadsEnergy, energy_of_inference, reads_energy
    from protocols.cost.read_counts import ReadCounts

    with stages() as bars, open_run(path) as run:
        found = reads_made(run, lambda done, total: bars("look at the reads", done, total))
        outcome, pulses = outcome_of(run), int(run.column("pulses", "count").sum())
        applied = [None if info.durations is None else info.durations.applied for info in run.infos]
    counts = sum(found, ReadCounts())
    spent = ReadsEnergy(0.0, Range(0.0, 0.0), Range(0.0, 0.0))
    for each, seconds in zip(found, applied, strict=True):
        spent += reads_energy(each, each.conversions, seconds, table)
    unknown = counts.unknown / counts.crossings if counts.crossings else 0.0
    rows = [
        ("vectors read", f"{counts.vectors}, in {counts.one_bit} products of one bit"),
        ("conversions", f"{counts.conversions} of all bit lines, {counts.cell_reads} of single cells"),
        ("line drives", str(counts.drives)),
        (
            "sum of V^2 G",
            f"{with_prefix(counts.square_volts_siemens, 'W')}, with conductances as last read; "
            f"{100 * unknown:.2g} % of driven cells were not read and are left out",
        ),
        *_reads(spent),
        ("pulses", f"{pulses}, whose energy is not in this"),
    ]
    inference = None if outcome is None else outcome.result.get("inference")
    network = None
    if inference is not None:
        planned, mended = inference["planned"], inference["mended"]
        network = energy_of_inference(mended, table)
        rows += [
            *inference_facts(mended),
            ("the same as planned without faults", f"{planned['products']} products"),
            *_network(network),
        ]
    _show(f"reads of {path}", rows, table)
    answer(
        {
            "counts": counts,
            "by_array": found,
            "applied": applied,
            "energy": spent,
            "pulses": pulses,
            "inference": inference,
            "inference_energy_without_cells": network,
            "table": table,
        }
    )


def _show(title: str, rows: list[tuple[str, str]], table: EnergyTable) -> None:
    """What was found, and under it where the figures come from."""
    from rich.text import Text

    from imssa_lab.report.inference_words import with_prefix

    shown = facts_table(title)
    for name, value in rows:
        shown.add_row(name, Text(value))  # as it is written: words in brackets would be taken for colours
    shown.add_section()
    for kind in type(table).model_fields:
        for figure in getattr(table, kind):
            words = f"{with_prefix(figure.joules, 'J')}: {figure.name}. {figure.source}; {figure.seen}"
            shown.add_row(kind.replace("_", " "), Text(words))
    console().print(shown)


def _reads(spent: ReadsEnergy) -> list[tuple[str, str]]:
    from imssa_lab.report.inference_words import with_prefix

    return [
        ("energy of the cells", NOT_DECIDABLE if spent.cells is None else with_prefix(spent.cells, "J")),
        ("energy of conversions", _between(spent.conversions)),
        ("energy of line drives", _between(spent.line_drives)),
    ]


def _network(spent: NetworkEnergy) -> list[tuple[str, str]]:
    """An inference beside the same network in 8-bit integers."""
    cells = " (cells not counted)" if spent.reads.cells is None else ""
    low, high = spent.ratio.low, spent.ratio.high
    if low > 1:
        verdict = f"the arrays take {low:.3g} to {high:.3g} times more{cells}: integers take less by every figure"
    elif high < 1:
        verdict = f"the arrays take {low:.3g} to {high:.3g} of it{cells}"
    else:
        verdict = f"the arrays take {low:.3g} to {high:.3g} times as much{cells}: the figures do not decide"
    return [
        (
            "energy of an inference",
            f"{_between(spent.reads.whole)} on arrays{cells}, {_between(spent.rest)} in what stays digital",
        ),
        ("the same network in 8-bit integers", f"{_between(spent.digital)}; {verdict}"),
    ]


def _between(joules: Range) -> str:
    from imssa_lab.report.inference_words import with_prefix

    low, high = with_prefix(joules.low, "J"), with_prefix(joules.high, "J")
    return low if low == high else f"{low} to {high}"
