"""`DeployedNetwork`: a net on its arrays, with its corrections, for new sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import CrossbarArray, FloatArray
from imssa_lab.contract.notebook import facts_html
from imssa_lab.mapping import Mapping, reads_a_step
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import HEAD
from imssa_lab.s4d.inference import Product, run_kernels, run_network
from imssa_lab.s4d.output_correction import dense_correction, output_correction
from protocols.corrections.correction import Corrections, LayerCorrection
from protocols.corrections.judgement_held_out import Gain, Judged, closer, judged
from protocols.dense_runner import DenseRunner
from protocols.recurrence import KernelRunner

Raw = Callable[[int, FloatArray], FloatArray]
"""`raw(layer, inputs)`: outputs of the kernels of a layer as the arrays give them, both (n, steps, channels)."""

DenseRaw = Callable[[str, FloatArray], FloatArray]
"""`raw(layer, inputs)`: products of a dense layer as the arrays give them, (..., outputs) for (..., inputs)."""

_Layer = TypeVar("_Layer")
_FEWEST = 4
"""Sequences of a recalibration, of which one in so many is fitted to."""


@dataclass(frozen=True)
class Recalibrated:
    """A recalibration: held-out sequences before and after, what they gain by it, and whether it is kept."""

    before: Judged
    after: Judged
    gain: Gain
    kept: bool

    def __str__(self) -> str:
        verdict = "kept" if self.kept else "not kept, it does not surely help"
        return f"held out: {self.before} -> {self.after}, {self.gain}: {verdict}"


class DeployedNetwork:
    """A bundle on programmed arrays: ``deployed(sequences)`` runs new sequences on the chip.

    A context manager: leaving it closes the arrays that were opened for it. It sends no pulse.

    Args:
        bundle: as it was deployed; arrays: as many as `mapping` uses, programmed.
        mapping: the places of the kernels; corrections: those to begin with.
        vectors, averages: see `KernelRunner`.
        keep: called with corrections that are kept, before they apply.
        owns_arrays: close the arrays together with this network.

    Attributes:
        bundle, mapping, corrections: as they are now; arrays: in use.
        runner: the kernels in closed loop; it counts the products that were read. dense: the same of the dense layers
            that arrays compute.

    Raises:
        DeploymentError: too few arrays, or corrections of other layers or arrays.
    """

    def __init__(
        self,
        bundle: KernelBundle,
        arrays: Sequence[CrossbarArray],
        mapping: Mapping,
        corrections: Corrections,
        *,
        vectors: int | None = None,
        averages: int = 1,
        keep: Callable[[Corrections], object] = lambda corrections: None,
        owns_arrays: bool = False,
    ) -> None:
        self.runner = KernelRunner(arrays, mapping, vectors=vectors, averages=averages)
        self.dense = DenseRunner(arrays, mapping, vectors=vectors, averages=averages)
        self.bundle, self.mapping, self.arrays = bundle, mapping, tuple(arrays[: mapping.arrays])
        wide = [len(layer.d) for layer in bundle.layers]
        if [len(layer.offset) for layer in corrections.layers] != wide or len(corrections.columns) != mapping.arrays:
            raise DeploymentError(
                f"corrections of {len(corrections.layers)} layers and {len(corrections.columns)} arrays do not fit "
                f"a net of {len(wide)} layers of {wide[0]} channels on {mapping.arrays} arrays; deploy it again"
            )
        if set(corrections.dense) != set(self.dense.layers):
            raise DeploymentError(
                f"corrections of dense layers {sorted(corrections.dense)} do not fit a net that has "
                f"{self.dense.layers} on arrays; deploy it again"
            )
        self._keep, self._opened, self._owns = keep, ExitStack(), owns_arrays
        if owns_arrays:
            for array in arrays:
                self._opened.callback(array.close)
        for array, columns in zip(self.arrays, corrections.columns, strict=True):
            array.set_calibration(columns)
        self.corrections = corrections
        self._use(corrections)

    def __call__(self, sequences: ArrayLike) -> FloatArray:
        """Logits (n, classes) of the chip for input sequences (n, steps, inputs); the largest is the class.

        Raises:
            ConfigError: sequences of the wrong shape or not finite.
        """
        corrections = self.corrections
        return run_network(corrections.on(self.bundle), sequences, self.runner, self.products(corrections))

    def products(self, corrections: Corrections, raw: DenseRaw | None = None) -> dict[str, Product]:
        """By name of each dense layer that arrays compute what gives its products, with these corrections.

        A head that was fitted by labels has other weights than the array holds, so it is digital.

        Args:
            raw: what gives the products before correction; None for the chip.
        """
        read = raw or self.dense.raw

        def product(name: str) -> Product:
            return lambda x: corrections.dense[name].apply(read(name, x))

        return {name: product(name) for name in self.dense.layers if name != HEAD or corrections.head is None}

    def recalibrate(self, sequences: ArrayLike) -> Recalibrated:
        """Fit gain and offset of every output by the first quarter of some sequences, with their columns as they are.

        They follow the corrections that there are, a map included. Labels are not needed. They are kept only if the
        other sequences come closer to software, with no fewer classes as software gives them, and are surely decided
        better (`Gain`): what looks closer by chance, or is closer only where no decision depends on it, is not kept.
        A loss of a point shows from about 64 sequences on.

        Args:
            sequences: (n, steps, inputs), 4 or more, none of those that verify the deployment.

        Raises:
            DeploymentError: fewer than four sequences, or an output that is constant.
        """
        given = np.asarray(sequences, dtype=np.float64)
        if len(given) < _FEWEST:
            raise DeploymentError(
                f"{len(given)} sequences; {_FEWEST} or more are needed: a quarter to fit, the others to judge"
            )
        fit, judging = np.split(given, [len(given) // _FEWEST])
        raw, dense = Remembered(self.runner.raw), Remembered(self.dense.raw)
        now = self.corrections
        layers, of_dense = self._recalibrated(raw, fit)
        after = now.changed("recalibration", layers=layers, dense=of_dense)
        software = run_network(self.bundle, judging)
        old, new = (self.run_with(each, judging, raw, dense) for each in (now, after))
        was, is_now, gain = judged(old, software), judged(new, software), Gain.of(old, new, software)
        kept = closer(was, is_now) and gain.low > 0
        if kept:
            self.adopt(after.changed(after.by, figures=was.figures("before") | is_now.figures("after")))
        return Recalibrated(was, is_now, gain, kept)

    def adopt(self, corrections: Corrections) -> None:
        """Keep these corrections; they apply from now on."""
        self._keep(corrections)
        self.corrections = corrections
        self._use(corrections)

    def run_with(
        self,
        corrections: Corrections,
        sequences: FloatArray,
        raw: Raw | None = None,
        dense: DenseRaw | None = None,
    ) -> FloatArray:
        """Logits (n, classes) for sequences (n, steps, inputs) as they would be with other corrections.

        Args:
            raw: what gives the outputs of the kernels; dense: of dense layers on arrays; None for the chip.
        """
        read = raw or self.runner.raw
        return run_network(
            corrections.on(self.bundle),
            sequences,
            lambda layer, u: corrections.layers[layer].apply(read(layer, u)),
            self.products(corrections, dense),
        )

    def _recalibrated(
        self, raw: Raw, sequences: FloatArray
    ) -> tuple[tuple[LayerCorrection, ...], dict[str, LayerCorrection]]:
        """Corrections of layers and dense layers, each fitted on what the layers before it give with theirs."""
        found: list[LayerCorrection] = []
        of_dense = dict(self.corrections.dense)

        def product(name: str, weight: FloatArray) -> Product:
            def run(x: FloatArray) -> FloatArray:
                got = self.dense.raw(name, x)
                of_dense[name] = LayerCorrection(*dense_correction(got, x @ weight.T))
                return of_dense[name].apply(got)

            return run

        def kernels(layer: int, inputs: FloatArray) -> FloatArray:
            outputs = raw(layer, inputs)
            present = self.corrections.layers[layer]
            ideal = run_kernels(self.bundle.layers[layer], inputs)
            found.append(present.followed_by(*output_correction(layer, present.apply(outputs), ideal)))
            return found[-1].apply(outputs)

        weights = {layer.name: layer.weight for layer in self.bundle.dense_layers()}
        dense = {name: product(name, weights[name]) for name in self.products(self.corrections)}
        run_network(self.corrections.on(self.bundle), sequences, kernels, dense)
        return tuple(found), of_dense

    def _use(self, corrections: Corrections) -> None:
        self.runner.gain = [layer.gain for layer in corrections.layers]
        self.runner.offset = [layer.offset for layer in corrections.layers]

    def close(self) -> None:
        """Close the arrays, where they are this network's own; arrays that the caller opened stay open."""
        self._opened.close()

    def __enter__(self) -> Self:
        if self._owns:
            for array in self.arrays:
                self._opened.enter_context(array)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def _repr_html_(self) -> str:
        """For notebooks: what runs where, and with which corrections."""
        facts = [
            ("net", f"{self.bundle.task}, {self.bundle.precision}"),
            ("kernels, arrays", f"{len(self.mapping.kernels)} on {self.mapping.arrays}"),
            ("products a time step", str(reads_a_step(self.mapping))),
            ("corrections", f"{self.corrections.by}, {self.corrections.date}"),
        ]
        return facts_html("deployed network", facts, True)


class Remembered(Generic[_Layer]):
    """Raw outputs of layers, read once for the same inputs, however often they are corrected again."""

    def __init__(self, raw: Callable[[_Layer, FloatArray], FloatArray]) -> None:
        self._raw = raw
        self._known: dict[tuple[_Layer, bytes], FloatArray] = {}

    def __call__(self, layer: _Layer, inputs: FloatArray) -> FloatArray:
        """Outputs of a layer for inputs of one shape, see `Raw` and `DenseRaw`."""
        key = layer, inputs.tobytes()
        if key not in self._known:
            self._known[key] = self._raw(layer, inputs)
        return self._known[key]
