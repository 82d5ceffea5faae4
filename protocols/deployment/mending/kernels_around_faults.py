"""Kernels around faults: which are arranged within their places, which move, which are split over two."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import Mapping, PlacedKernel, Reach, kernel_block, reassign, split
from protocols.deployment.fault_errors import error_by_faults, worth_arranging
from protocols.deployment.predict import Predictor

_log = logging.getLogger(__name__)
HARM = 0.1
"""A kernel is mended when faults are predicted to add more than this to its NRMSE, in squares."""
WORTH = 0.7
"""Share of the damage that an arrangement may leave for it to be worth new pulses."""
_TINY = 1e-12


def arranged_for_products(
    mapping: Mapping, predictor: Predictor, reaches: Sequence[Reach], worth: float
) -> tuple[Mapping, int]:
    """Kernels that faults touch, arranged where less than `worth` of the harm to products is left; and how many."""
    harmed, errors = _harmed(mapping, reaches)
    if not harmed:
        return mapping, 0
    # what products show, which is all weights alike, and what outputs show
    weights = [1.0 + each / max(float(each.mean()), _TINY) for each in predictor.importance(harmed)]
    return _arranged(mapping, harmed, errors, weights, reaches, worth)


def arranged_for_outputs(
    mapping: Mapping,
    predictor: Predictor,
    reaches: Sequence[Reach],
    worth: float,
    owners: Collection[tuple[int, int]],
) -> tuple[Mapping, int]:
    """Kernels of `owners` (layer, channel) that faults touch, arranged for their outputs alone, and how many changed.

    Unlike `mended` it leaves no harm alone that is small, and spends no weight on what only products show.
    """
    harmed, errors = _harmed(mapping, reaches)
    mine = [i for i, kernel in enumerate(harmed) if (kernel.layer, kernel.channel) in owners]
    harmed, errors = [harmed[i] for i in mine], [errors[i] for i in mine]
    if not harmed:
        return mapping, 0
    return _arranged(mapping, harmed, errors, predictor.importance(harmed), reaches, worth)


def _arranged(
    mapping: Mapping,
    harmed: Sequence[PlacedKernel],
    errors: Sequence[FloatArray],
    weights: Sequence[FloatArray],
    reaches: Sequence[Reach],
    worth: float,
) -> tuple[Mapping, int]:
    move = mapping.packing == "area"  # which leaves so few places that each must go to who needs it most
    arranged, costs = reassign(mapping, harmed, weights, reaches, move=move)
    harm = np.array([(w * e**2).sum() for w, e in zip(weights, errors, strict=True)])
    chosen = worth_arranging(mapping.packing, harmed, harm, costs, worth)
    if not chosen:
        return mapping, 0
    if len(chosen) < len(harmed):
        some = [harmed[i] for i in chosen], [weights[i] for i in chosen]
        arranged, _ = reassign(mapping, *some, reaches, move=move)
    return arranged, len(chosen)


def mended(mapping: Mapping, predictor: Predictor, reaches: Sequence[Reach]) -> tuple[Mapping, int]:
    """Kernels that faults are predicted to harm by more than `HARM`, arranged, moved or split; and how many."""
    harmed, errors = _harmed(mapping, reaches)
    if not harmed:
        return mapping, 0
    importance = predictor.importance(harmed)
    harm = np.array([(w * e**2).sum() for w, e in zip(importance, errors, strict=True)])
    chosen = [int(i) for i in np.argsort(-harm) if harm[i] > HARM**2]
    if not chosen:
        return mapping, 0
    kernels, weights = [harmed[i] for i in chosen], [importance[i] for i in chosen]
    within, costs = reassign(mapping, kernels, weights, reaches, move=False)
    if costs.max() > HARM**2:
        moved, moved_costs = reassign(mapping, kernels, weights, reaches)
        if moved_costs.sum() < WORTH * costs.sum():
            within, costs = moved, moved_costs
    if costs.sum() > WORTH * harm[chosen].sum():
        return _split(mapping, predictor, kernels, harm[chosen], reaches)
    _log.info("%d damaged kernels rearranged, predicted harm %.3g -> %.3g", len(chosen), harm.sum(), costs.sum())
    return within, len(chosen)


def _harmed(mapping: Mapping, reaches: Sequence[Reach]) -> tuple[list[PlacedKernel], list[FloatArray]]:
    """Kernels with weights that are out of reach, and how far, (size, size) each."""
    errors = [error_by_faults(mapping, kernel, reaches) for kernel in mapping.kernels]
    harmed = [(k, error) for k, error in zip(mapping.kernels, errors, strict=True) if error.any()]
    return [k for k, _ in harmed], [error for _, error in harmed]


def _split(
    mapping: Mapping,
    predictor: Predictor,
    kernels: Sequence[PlacedKernel],
    harm: FloatArray,
    reaches: Sequence[Reach],
) -> tuple[Mapping, int]:
    """Split what no whole place suits over two free ones, as far as there are any."""
    count = 0
    for kernel, cost in zip(kernels, harm, strict=True):
        states = kernel.block.states
        if len(states) < 2 or cost <= HARM**2:
            continue
        layer = predictor.bundle.layers[kernel.layer]
        halves = (states[: len(states) // 2], states[len(states) // 2 :])
        parts = [kernel_block(layer, kernel.channel, kernel.block.form, half) for half in halves]
        tried = split(mapping, kernel, parts, reaches)
        if tried is None:
            break
        new = [k for k in tried.kernels if k not in mapping.kernels]
        if sum(float((error_by_faults(mapping, k, reaches) ** 2).sum()) for k in new) < 0.5 * float(
            (error_by_faults(mapping, kernel, reaches) ** 2).sum()
        ):
            mapping = tried
            count += 1
    return mapping, count
