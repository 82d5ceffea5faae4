"""Figures of deployments of tiny nets: what each level says, what mending and corrections do, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from imssa_lab.mapping import Packing, arrays_needed, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import Layers
from imssa_lab.s4d.inference import dense_inputs, layer_inputs, run_network
from protocols.corrections.deployed_network import DeployedNetwork
from protocols.corrections.finetuning import FittingSequences, finetune
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.journal import read_journal
from protocols.deployment.predict import Predictor
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds
from protocols.programmers import MvmTuning, recipe_of
from protocols.wrappers.budget import Budget
from trials import tiny
from trials.untrained import untrained_bundle, varied_sequences
from twin import DigitalTwin, TwinProfile

TOLD = (
    *("targets", "achieved", "reports", "levels", "bounds", "kernel_nrmse", "impulses", "accuracy"),
    *("software_accuracy", "null_accuracy", "predictions", "seconds", "predicted_accuracy", "remedies", "mended"),
    *("cell_ends", "cell_maps", "cell_shares", "kernel_ends", "spent", "product_reads", "surveyed", "reads_a_step"),
    *("inference", "dense_nrmse", "goal", "passed", "pulses"),
)


def boards(count: int, shape: tuple[int, int] = (16, 16), **sections: Any) -> list[DigitalTwin]:
    """Small boards with 4 % of stuck cells, of which a net of three kernels notices some."""
    tables = TwinProfile.load("supert-a0-easy").model_dump()
    tables["stuck"] |= {"on_fraction": 0.02, "off_fraction": 0.02}
    tables["lines"] = None
    for name, section in sections.items():
        tables[name] = tables[name] | section if isinstance(tables[name], dict) else section
    return [DigitalTwin(TwinProfile.model_validate(tables), shape, seed=11 + number) for number in range(count)]


def given(bundle: KernelBundle, inputs: np.ndarray) -> Sequences:
    return Sequences(inputs[:8], inputs[8:], run_network(bundle, inputs[8:]).argmax(axis=1), {"null": 0.5})


def told(result: Deployment, arrays: list[DigitalTwin], journal: list[str]) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(result, name) for name in TOLD}
    corrections = result.corrections
    found["corrections"] = [corrections.layers, corrections.columns, corrections.by, dict(corrections.dense)]
    found["words"] = str(result).splitlines()
    found["cells"] = [array.cells.conductance for array in arrays]
    found["times"] = [array.time for array in arrays]
    found["journal"] = [len(journal), *(entry.split(":")[0] for entry in journal)]
    return found


def deployed(choices: DeploymentChoices, net: str = "tiny", **sections: Any) -> dict[str, object]:
    if net == "tiny":
        bundle, sequences, arrays = tiny.bundle(), Sequences(*tiny.sequences(), {"null": 0.5}), boards(2, **sections)
    else:
        bundle = untrained_bundle(channels=4, states=2, layers=2)
        sequences = given(bundle, varied_sequences(5)[:40])
        needed = arrays_needed(bundle, (24, 24), choices.layers, choices.packing or "time")
        arrays = boards(needed, (24, 24), **sections)
    journal: list[str] = []
    result = deploy(bundle, arrays, sequences, choices, journal=journal.append)
    found = told(result, arrays, journal)
    standing = read_journal(journal, bundle, len(arrays))
    found["standing"] = [standing.mapping.arrays, standing.arrays, standing.pulses, standing.done]
    found["kernels"] = [(kernel.array, kernel.word_lines, kernel.pairs) for kernel in standing.mapping.kernels]
    return found


def predicted() -> Iterator[tuple[str, object]]:
    bundle = untrained_bundle(channels=4, states=2, layers=2)
    inputs = varied_sequences(5)[:6]
    choices: list[tuple[Packing, Layers]] = [("time", "kernels"), ("area", "all")]
    for packing, layers in choices:
        count = arrays_needed(bundle, (24, 24), layers, packing)
        arrays = boards(count, (24, 24))
        mapping = map_bundle(bundle, (24, 24), arrays[0].info.window, count, layers=layers, packing=packing)
        held = [np.random.default_rng(number).uniform(2e-6, 150e-6, (24, 24)) for number in range(count)]
        predictor = Predictor(bundle, arrays[0].info, layer_inputs(bundle, inputs), dense_inputs(bundle, inputs))
        kernels = mapping.kernels
        weights = [
            kernel.block.weights
            + 0.05 * np.cos(np.arange(kernel.block.weights.size)).reshape(kernel.block.weights.shape)
            for kernel in kernels
        ]
        name = f"{packing} {layers}"
        yield f"{name} nrmse", predictor.nrmse(kernels, weights)
        yield f"{name} importance", predictor.importance(kernels)
        yield f"{name} activity", [predictor.activity(kernel) for kernel in kernels[:3]]
        yield f"{name} crosstalk", [predictor.crosstalk(kernels[0], other, weights[0]) for other in kernels[1:3]]
        yield (
            f"{name} accuracy",
            predictor.accuracy(mapping, held, inputs, run_network(bundle, inputs).argmax(axis=1)),
        )
        yield f"{name} tiles", [predictor.tile_importance(tile) for tile in mapping.tiles]


def finetuned(layers: Layers) -> dict[str, object]:
    bundle = untrained_bundle(channels=4, states=2, layers=2)
    inputs = varied_sequences(5)
    sequences = replace(
        given(bundle, inputs),
        training_inputs=varied_sequences(9),
        training_labels=run_network(bundle, varied_sequences(9)).argmax(axis=1),
    )
    arrays = boards(
        arrays_needed(bundle, (24, 24), layers), (24, 24), columns={"gain_spread": 0.3, "offset_spread": 2e-6}
    )
    result = deploy(bundle, arrays, sequences, DeploymentChoices(corrections=False, layers=layers))
    network = DeployedNetwork(bundle, arrays, result.mapping, result.corrections)
    fitting = FittingSequences.of(sequences, 20, 30)
    again = network.recalibrate(varied_sequences(12)[:24])
    found = finetune(network, fitting, sequences, tests=16)
    kept = network.corrections
    return {
        "recalibrated": again,
        "tried": found,
        "kept": [kept.layers, kept.norm, kept.head, dict(kept.figures), kept.by, kept.multiplications],
        "answers": network(inputs[:6]),
    }


NOISY: Any = {"read_noise": {"sd_median": 4e-6}}
SPOILT: Any = {"stuck": {"on_fraction": 0.12, "off_fraction": 0.12}}
STRICT = Bounds(mvm=0.02, kernel=0.05, impulse=0.1)
RECIPE = recipe_of(DigitalTwin("supert-a0-easy", (4, 4)))


CASES: Mapping[str, Callable[[], object]] = {
    "tiny": partial(deployed, DeploymentChoices()),
    "spoilt": partial(deployed, DeploymentChoices(), **SPOILT),
    "left as it comes": partial(deployed, DeploymentChoices(mending=False, corrections=False), **SPOILT),
    "strict": partial(deployed, DeploymentChoices(bounds=STRICT, tuner=MvmTuning(recipe=RECIPE)), **NOISY),
    "short budget": partial(deployed, DeploymentChoices(budget=Budget(pulses=150))),
    "short time": partial(deployed, DeploymentChoices(budget=Budget(seconds=0.5)), **SPOILT),
    "two layers": partial(deployed, DeploymentChoices(averages=2), "two"),
    "for area": partial(deployed, DeploymentChoices(packing="area", vectors=16, averages=1), "two", **SPOILT),
    "dense layers": partial(deployed, DeploymentChoices(layers="all"), "two", **SPOILT),
    "predicted": lambda: dict(predicted()),
    "finetuned": partial(finetuned, "kernels"),
    "finetuned dense": partial(finetuned, "all"),
}
