"""Prediction of a mapping from conductances alone: kernel errors and accuracy, before a pulse is sent.

The same closed loop as on arrays, in numpy: inputs rounded as the array's converter does, states in digital
accumulators, outputs corrected by gain and offset.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from imssa_lab.contract.hal import ArrayInfo, FloatArray
from imssa_lab.mapping import Form, KernelBlock, Mapping, PlacedKernel, PlacedTile, compensate, kernel_block
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import Product, run_kernels, run_network
from imssa_lab.s4d.output_correction import dense_correction
from imssa_lab.s4d.scores import Wanted, answers, score
from protocols.deployment.journal import ArrayState
from protocols.probes import probe_voltages

_DRAWS = 8
_SILENT = 1e-4
"""Share of the largest squared activity below which a row carries no signal to speak of."""
_EVEN = 0.1
"""Share of the mean variance that an input of a dense layer counts with at least: other sequences may move it."""


def run_blocks(
    blocks: Sequence[KernelBlock],
    weights: FloatArray,
    inputs: FloatArray,
    bits: int | None = None,
    *,
    drives: bool = False,
) -> FloatArray:
    """Outputs (n, steps, ..., kernels) of blocks of one size in closed loop with the weights given for them.

    Args:
        weights: (..., kernels, size, size): several variants at once, if you like.
        inputs: (n, steps, kernels); bits: of the input converter, None for a continuous one.
        drives: give what drives the rows instead, (n, steps, ..., kernels, size), in units of full scale.
    """
    scale = np.array([block.column_scale for block in blocks])
    keep = np.array([[float(block.form == "delta")] for block in blocks])
    full = np.array([block.input_scale for block in blocks])
    top = None if bits is None else 2 ** (bits - 1) - 1
    state = np.zeros((*weights.shape[:-3], len(blocks), len(inputs), weights.shape[-1] - 1))
    outputs = np.empty((inputs.shape[1], *state.shape[:-1], *((weights.shape[-1],) if drives else ())))
    for step in range(inputs.shape[1]):
        u = np.broadcast_to((inputs[:, step] / full).T[..., None], (*state.shape[:-1], 1))
        drive = np.clip(np.concatenate([u, state], axis=-1), -1.0, 1.0)
        if top is not None:
            drive = np.rint(drive * top) / top
        out = (drive @ weights) * scale[:, None]
        state = np.clip(keep[..., None] * state + out[..., :-1], -1.0, 1.0)
        outputs[step] = drive if drives else out[..., -1]
    return np.moveaxis(outputs, (0, -2 if drives else -1), (1, 0))


def corrected_nrmse(got: FloatArray, exact: FloatArray) -> FloatArray:
    """NRMSE that is left when gain and offset are fitted, over sequences and steps, (..., kernels).

    Args:
        got: (n, steps, ..., kernels); exact: (n, steps, kernels).
    """
    exact = exact.reshape(*exact.shape[:2], *(1,) * (got.ndim - 3), exact.shape[-1])
    g, e = got - got.mean(axis=(0, 1)), exact - exact.mean(axis=(0, 1))
    power, spread = (g**2).mean(axis=(0, 1)), (e**2).mean(axis=(0, 1))
    both = (g * e).mean(axis=(0, 1)) ** 2
    left = spread - both / np.where(power > 0, power, np.inf)
    return np.asarray(np.sqrt(np.maximum(left, 0.0) / np.where(spread > 0, spread, np.inf)))


def reachable(mapping: Mapping, states: Sequence[ArrayState]) -> list[FloatArray]:
    """Per array the conductances that known faults leave of the targets, S; partners compensate."""
    maps = []
    for index in range(mapping.arrays):
        target, state = mapping.target(index)[0], states[index]
        mended = compensate(target, state.stuck, state.standing, mapping.window)
        maps.append(np.where(state.stuck, state.standing, mended))
    return maps


class Predictor:
    """Predicts from conductances what the kernels of a bundle will do on arrays of one kind.

    Args:
        bundle: kept as an attribute; info: what the arrays are.
        inputs: per layer, (n, steps, channels), as the exact network sees them.
        dense: the same by name of each dense layer on arrays, (..., its inputs).
    """

    def __init__(
        self,
        bundle: KernelBundle,
        info: ArrayInfo,
        inputs: Sequence[FloatArray],
        dense: Dictionary[str, FloatArray] = MappingProxyType({}),
    ) -> None:
        self.bundle = bundle
        self._dense = dense
        self._bits = info.input_bits
        self._inputs = inputs
        self._exact = [run_kernels(layer, u) for layer, u in zip(bundle.layers, inputs, strict=True)]
        self._known: dict[tuple[object, ...], FloatArray] = {}

    def nrmse(self, kernels: Sequence[PlacedKernel], weights: Sequence[FloatArray]) -> FloatArray:
        """NRMSE of each kernel (or part, against that part in software) with these weights, (kernels,)."""
        found = np.empty(len(kernels))
        for indices in _groups(kernels):
            chosen = [kernels[i] for i in indices]
            blocks, u = [k.block for k in chosen], self._inputs_of(chosen)
            exact = run_blocks(blocks, np.array([k.block.weights for k in chosen]), u)
            got = run_blocks(blocks, np.array([weights[i] for i in indices]), u, self._bits)
            found[indices] = corrected_nrmse(got, exact)
        return found

    def importance(self, kernels: Sequence[PlacedKernel], sequences: int = 4, unit: float = 0.05) -> list[FloatArray]:
        """Per kernel (size, size): squared NRMSE for an error of each weight, to first order.

        It does not depend on the place of a kernel, so each is computed once.

        Args:
            sequences: how many of the inputs are used; unit: the error that is tried, in units of the largest weight.
        """
        due = list({_block_key(k): k for k in kernels if _block_key(k) not in self._known}.values())
        self._known |= {
            _block_key(k): one for k, one in zip(due, self._importance(due, sequences, unit), strict=True)
        }
        return [self._known[_block_key(kernel)] for kernel in kernels]

    def tile_importance(self, tile: PlacedTile) -> FloatArray:
        """(inputs, outputs) of a tile: what a unit error of each weight adds to the squared NRMSE of its output.

        Inputs count as uncorrelated; a mean is corrected by the offset of the output, so their variance counts.
        """
        given = self._dense[tile.layer].reshape(-1, self._dense[tile.layer].shape[-1])
        weight = next(layer.weight for layer in self.bundle.dense_layers() if layer.name == tile.layer)
        exact = (given @ weight.T).var(axis=0)
        spread = np.maximum(given.var(axis=0), _EVEN * given.var(axis=0).mean())[tile.inputs]
        power = np.maximum(exact, _EVEN * exact.mean())[tile.outputs]
        return np.asarray(spread[:, None] * tile.block.column_scale**2 / np.where(power > 0, power, np.inf))

    def activity(self, kernel: PlacedKernel, sequences: int = 4) -> FloatArray:
        """Rms of what drives each row of a kernel in software, (size,), in units of full scale of the inputs."""
        u = self._inputs_of([kernel])[:sequences]
        drives = run_blocks([kernel.block], kernel.block.weights[None], u, drives=True)
        return np.asarray(np.sqrt((drives**2).mean(axis=(0, 1, 2))))

    def crosstalk(self, driving: PlacedKernel, disturbed: PlacedKernel, weights: FloatArray) -> float:
        """Squared NRMSE that one kernel's word lines add to another by cells between them, to first order.

        Each such cell brings a signal of the driving kernel into a column of the disturbed one. What a signal of that
        size does there is taken from the errors of the column's own weights, whose rows carry signals of their own.

        Args:
            weights: (rows of `driving`, columns of `disturbed`), in units of the largest weight.
        """
        foreign, own = self.activity(driving) ** 2, self.activity(disturbed) ** 2
        live = own > _SILENT * own.max()
        by_signal = (self.importance([disturbed])[0][live] / own[live, None]).mean(axis=0)
        return float((foreign[:, None] * weights**2 * by_signal).sum())

    def _importance(self, kernels: Sequence[PlacedKernel], sequences: int, unit: float) -> list[FloatArray]:
        found: list[FloatArray] = [np.empty(0)] * len(kernels)
        for indices in _groups(kernels):
            chosen = [kernels[i] for i in indices]
            blocks, u = [k.block for k in chosen], self._inputs_of(chosen)[:sequences]
            weights = np.array([k.block.weights for k in chosen])
            size = weights.shape[-1]
            exact = run_blocks(blocks, weights, u)
            for row in range(size):
                tried = np.repeat(weights[None], size, axis=0)
                tried[np.arange(size), :, row, np.arange(size)] += unit
                squared = (corrected_nrmse(run_blocks(blocks, tried, u), exact) / unit) ** 2
                for number, index in enumerate(indices):
                    if row == 0:
                        found[index] = np.empty((size, size))
                    found[index][row] = squared[:, number]
        return found

    def accuracy(
        self, mapping: Mapping, conductances: Sequence[FloatArray], inputs: FloatArray, wanted: Wanted
    ) -> float:
        """Predicted score of the whole network with these conductances (S, per array), a fraction.

        Args:
            inputs: (n, steps, inputs); wanted: class numbers (n,), or values (n, values).
        """
        weights = [mapping.implemented(k, conductances[k.array]) for k in mapping.kernels]

        def outputs(layer: int, u: FloatArray, kernels: Sequence[PlacedKernel] = mapping.kernels) -> FloatArray:
            total = np.zeros(u.shape)
            for indices in _groups(kernels):
                own = [i for i in indices if kernels[i].layer == layer]
                if own:
                    channels = [kernels[i].channel for i in own]
                    part = run_blocks(
                        [kernels[i].block for i in own],
                        np.array([weights[i] for i in own]),
                        u[..., channels],
                        self._bits,
                    )
                    np.add.at(np.moveaxis(total, -1, 0), channels, np.moveaxis(part, -1, 0))
            return total

        gains = []
        for layer, (u, exact) in enumerate(zip(self._inputs, self._exact, strict=True)):
            got = outputs(layer, u)
            g, e = got - got.mean(axis=(0, 1)), exact - exact.mean(axis=(0, 1))
            power = (g**2).sum(axis=(0, 1))
            gain = (g * e).sum(axis=(0, 1)) / np.where(power > 0, power, np.inf)
            gains.append((gain, exact.mean(axis=(0, 1)) - gain * got.mean(axis=(0, 1))))
        outputs_of_net = run_network(
            self.bundle,
            inputs,
            lambda layer, u: gains[layer][0] * outputs(layer, u) + gains[layer][1],
            self._products(mapping, conductances),
        )
        return score(answers(self.bundle.goal, outputs_of_net), wanted)

    def _products(self, mapping: Mapping, conductances: Sequence[FloatArray]) -> dict[str, Product]:
        """Products of the dense layers on arrays with these conductances (S, per array), corrected."""
        whole = {layer.name: layer.weight for layer in self.bundle.dense_layers()}
        held = {tile.layer: np.zeros(whole[tile.layer].shape) for tile in mapping.tiles}
        for tile in mapping.tiles:
            weights = mapping.implemented(tile, conductances[tile.array]) * tile.block.column_scale
            held[tile.layer][np.ix_(tile.outputs, tile.inputs)] = weights.T

        def product(name: str) -> Product:
            got, exact = (self._dense[name] @ weight.T for weight in (held[name], whole[name]))
            gain, offset = dense_correction(got, exact)
            return lambda x: gain * (x @ held[name].T) + offset

        return {name: product(name) for name in held}

    def forms(self, sigma: float) -> list[list[Form]]:
        """For every channel of every layer "delta" or "direct", whichever has the lower predicted NRMSE.

        Layers of three levels are held in the delta form.

        Args:
            sigma: sd of the error of a weight, in units of the largest weight.
        """
        chosen: list[list[Form]] = []
        for index, layer in enumerate(self.bundle.layers):
            if layer.common_scale:  # three levels are three in the delta form alone
                chosen.append(["delta"] * len(layer.d))
                continue
            errors = []
            for form in ("delta", "direct"):
                blocks = [kernel_block(layer, channel, form) for channel in range(len(layer.d))]
                weights = np.array([block.weights for block in blocks])
                size = weights.shape[-1]  # evenly spread errors of the same sd, so that a replay needs no generator
                pattern = probe_voltages(_DRAWS * len(blocks), size * size, np.sqrt(3.0) * sigma)
                noise = pattern.reshape(_DRAWS, *weights.shape)
                exact = run_blocks(blocks, weights, self._inputs[index])
                got = run_blocks(blocks, weights + noise, self._inputs[index], self._bits)
                errors.append(np.sqrt((corrected_nrmse(got, exact) ** 2).mean(axis=0)))
            chosen.append(["direct" if direct < delta else "delta" for delta, direct in zip(*errors, strict=True)])
        return chosen

    def _inputs_of(self, kernels: Sequence[PlacedKernel]) -> FloatArray:
        return np.stack([self._inputs[k.layer][..., k.channel] for k in kernels], axis=-1)


def _block_key(kernel: PlacedKernel) -> tuple[object, ...]:
    return kernel.layer, kernel.channel, kernel.block.states, kernel.block.form


def _groups(kernels: Sequence[PlacedKernel]) -> list[list[int]]:
    """Indices of the kernels, by size of block."""
    sizes = sorted({kernel.block.size for kernel in kernels})
    return [[i for i, kernel in enumerate(kernels) if kernel.block.size == size] for size in sizes]
