"""Norm of the last layer and head, fitted to labels on what the chip gives; digital parts, so no pulse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import SOFTWARE, Dense, run_network
from protocols.corrections.correction import Corrections
from protocols.corrections.deployed_network import Raw

PULL = 10.0
"""Weight of the mean squared distance from the trained parameters, each in units of the rms of its kind.

From 1 to 100 the accuracy of two naive chips was the same within their test sets' errors.
"""
_ROUNDS = 300


@dataclass(frozen=True)
class Parts(FrozenArrays):
    """Norm scale and shift, (channels,), head weight (classes, channels) and bias (classes,)."""

    scale: FloatArray
    shift: FloatArray
    weight: FloatArray
    bias: FloatArray

    @classmethod
    def of(cls, bundle: KernelBundle) -> Parts:
        """Those of a bundle."""
        last = bundle.layers[-1]
        return cls(last.norm_scale, last.norm_shift, bundle.head_weight, bundle.head_bias)

    def flat(self) -> FloatArray:
        """All of them, one after the other, (parameters,)."""
        return np.concatenate([part.ravel() for part in (self.scale, self.shift, self.weight, self.bias)])

    def like(self, values: FloatArray) -> Parts:
        """Those that `flat` gives as `values`, in the shapes of these."""
        cuts = np.cumsum([self.scale.size, self.shift.size, self.weight.size])
        scale, shift, weight, bias = np.split(values, cuts)
        return Parts(scale, shift, weight.reshape(self.weight.shape), bias)

    def units(self) -> FloatArray:
        """For each parameter, (parameters,), the rms of its kind; 1 where all of a kind are zero."""
        parts = (self.scale, self.shift, self.weight, self.bias)
        return np.concatenate([np.full(part.size, float(np.sqrt(np.mean(part**2))) or 1.0) for part in parts])


def ends_in_norm_and_head(bundle: KernelBundle) -> bool:
    """Whether nothing but batch norm, ReLU and pooling lies between the kernels of the last layer and the head."""
    last = bundle.layers[-1]
    plain = last.activation == "relu" and last.layer_norm == "none"
    return plain and last.mix_weight is None and not last.bidirectional


def with_head(
    bundle: KernelBundle,
    corrections: Corrections,
    raw: Raw,
    inputs: FloatArray,
    labels: NDArray[np.int64],
    pull: float = PULL,
    dense: Dense = SOFTWARE,
) -> Corrections:
    """The corrections with a norm of the last layer and a head that fit labels, on the outputs that the chip gives.

    Cross-entropy with a pull towards what was trained, by L-BFGS; quantisers count as the identity inside their range
    and as constant outside (straight-through, Bengio et al., arXiv 1308.3432, 2013). The head is not quantised again.

    Args:
        bundle: for which `ends_in_norm_and_head`.
        raw: what gives the outputs of the kernels; inputs: (n, steps, inputs); labels: (n,), class numbers.
        pull: as `PULL`.
        dense: what computes the dense layers that are not in software.
    """
    last, outputs = len(bundle.layers) - 1, np.empty(0)
    present = corrections.on(bundle)

    def kernels(layer: int, given: FloatArray) -> FloatArray:
        nonlocal outputs
        made = corrections.layers[layer].apply(raw(layer, given))
        if layer == last:
            outputs = made
        return made

    run_network(present, inputs, kernels, dense)
    found = Objective(bundle, outputs, labels, pull).smallest(Parts.of(present))
    return corrections.changed("head", norm=(found.scale, found.shift), head=(found.weight, found.bias))


class Objective:
    """What a norm and a head are fitted by: value and gradient for parameters as `Parts.flat` orders them.

    Args:
        bundle: as it was trained, which is what parameters are pulled to.
        outputs: of the last layer, corrected, (n, steps, channels); labels: (n,), class numbers.
    """

    def __init__(
        self, bundle: KernelBundle, outputs: FloatArray, labels: NDArray[np.int64], pull: float = PULL
    ) -> None:
        self._pull = pull
        self.trained = Parts.of(bundle)
        self.units, self._home = self.trained.units(), self.trained.flat()
        self._outputs, self._labels, self._pooling = outputs, labels, bundle.pooling
        limited = bundle.activation_bits is not None
        self._top = bundle.layers[-1].activation_range if limited else np.inf
        self._full = bundle.head_range if limited else np.inf

    def __call__(self, values: FloatArray) -> tuple[float, FloatArray]:
        """The value at parameters (parameters,), and its gradient of the same shape."""
        now = self.trained.like(values)
        before = now.scale * self._outputs + now.shift
        active = np.clip(before, 0.0, self._top)
        if self._pooling == "mean":
            pooled = active.mean(axis=1)
            share = np.full((1, active.shape[1], 1), 1.0 / active.shape[1])
        elif self._pooling == "last":
            pooled = active[:, -1]
            share = np.zeros((1, active.shape[1], 1))
            share[:, -1] = 1.0
        else:
            pooled = active.max(axis=1)
            share = np.asarray(np.arange(active.shape[1])[:, None] == active.argmax(axis=1)[:, None, :], dtype=float)
        seen = np.clip(pooled, -self._full, self._full)
        logits = seen @ now.weight.T + now.bias
        rows, away = np.arange(len(logits)), (values - self._home) / self.units
        value = self._pull * np.mean(away**2) - log_softmax(logits, axis=1)[rows, self._labels].mean()
        slope = softmax(logits, axis=1)
        slope[rows, self._labels] -= 1.0
        slope /= len(rows)
        to_before = ((slope @ now.weight) * (pooled < self._full))[:, None, :] * share
        to_before = to_before * ((before > 0) & (before < self._top))
        parts = (
            (to_before * self._outputs).sum(axis=(0, 1)),
            to_before.sum(axis=(0, 1)),
            slope.T @ seen,
            slope.sum(axis=0),
        )
        return float(value), Parts(*parts).flat() + 2 * self._pull * away / (self.units * len(away))

    def smallest(self, start: Parts) -> Parts:
        """The parameters with the smallest value near `start`."""

        def in_units(values: FloatArray) -> tuple[float, FloatArray]:  # so that one step length suits all
            value, gradient = self(values * self.units)
            return value, gradient * self.units

        first = start.flat() / self.units
        done = minimize(in_units, first, jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS})
        return start.like(np.asarray(done.x) * self.units)
