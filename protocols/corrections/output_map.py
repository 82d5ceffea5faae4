"""A linear map over all channels of a layer from measured to exact outputs, fitted without a pulse.

Layer after layer, on the inputs that the corrected layers before it give, without labels. Fitting each layer on what
the chip gives to it is NeuRRAM's progressive fine-tuning (Wan et al., Nature 608:504, 2022, fig. 4d), in closed form.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import SOFTWARE, Dense, run_kernels, run_network
from protocols.corrections.correction import Corrections, LayerCorrection
from protocols.corrections.deployed_network import Raw

SHARE = 1e-3
"""What is added to the diagonal of the outputs' covariance, as a share of its mean; chosen beforehand."""


def ridge(measured: FloatArray, ideal: FloatArray, share: float = SHARE) -> LayerCorrection:
    """The map and offset that bring measured outputs closest to ideal ones, both (n, steps, channels).

    Least squares with a penalty on the map (Hoerl and Kennard, Technometrics 12:55, 1970), not on the offset.

    Raises:
        DeploymentError: no output varies.
    """
    m, t = (values.reshape(-1, values.shape[-1]) for values in (measured, ideal))
    m_mean, t_mean = m.mean(axis=0), t.mean(axis=0)
    centred = m - m_mean
    covariance = centred.T @ centred
    mean_power = float(np.trace(covariance)) / len(covariance)
    if not mean_power > 0:
        raise DeploymentError(
            "no output of this layer varies; check that the arrays are powered and programmed, and the inputs"
        )
    covariance[np.diag_indices_from(covariance)] += share * mean_power
    gain = np.linalg.solve(covariance, centred.T @ (t - t_mean))
    return LayerCorrection(gain, t_mean - m_mean @ gain)


def with_output_maps(
    bundle: KernelBundle, corrections: Corrections, raw: Raw, inputs: FloatArray, dense: Dense = SOFTWARE
) -> Corrections:
    """The corrections with a map instead of the gains of every layer.

    Args:
        raw: what gives the outputs of the kernels; inputs: sequences (n, steps, inputs) to fit the maps to.
        dense: what computes the dense layers that are not in software.
    """
    found: list[LayerCorrection] = []

    def kernels(layer: int, given: FloatArray) -> FloatArray:
        outputs = raw(layer, given)
        found.append(ridge(outputs, run_kernels(bundle.layers[layer], given)))
        return found[-1].apply(outputs)

    run_network(corrections.on(bundle), inputs, kernels, dense)
    return corrections.changed("output map", layers=tuple(found))
