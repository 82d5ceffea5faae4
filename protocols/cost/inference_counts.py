"""Operations of one inference on the arrays and on the digital side, from a mapping alone."""

from __future__ import annotations

from dataclasses import dataclass

from imssa_lab.contract.hal import ArrayInfo
from imssa_lab.mapping import Mapping, PlacedKernel
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.cost import MultiplyAdds, multiply_adds
from imssa_lab.s4d.dense_layer import every_step
from protocols.cost.read_counts import pulses_a_vector


@dataclass(frozen=True)
class InferenceCounts:
    """One sequence of `steps` steps through the kernels of a mapping, and through its dense layers if it has some.

    Attributes:
        products: vectors of both signs that they need, by array; vectors: those that arrays read for them, two
            each where word lines take no sign, by array.
        one_bit: products of one bit; conversions: by converters of bit lines that hold weights, one a line in each of
            these; every_line: the same of all bit lines, where an array leaves none out.
        lines: word lines addressed in these, each in the pass of its sign alone: no more drives can there be, and
            fewer are, since zeros drive none.
        multiply_adds: of the network; scalings: of bit lines to weights, digital, beside them.
        device_seconds: latency by array, s, of arrays one after another, None where the driver does not say.
        dense: multiply-adds of dense layers that arrays do.
    """

    steps: int
    products: tuple[int, ...]
    vectors: tuple[int, ...]
    one_bit: int
    conversions: int
    every_line: int
    lines: int
    multiply_adds: MultiplyAdds
    scalings: int
    device_seconds: tuple[float, ...] | None
    dense: int = 0

    @property
    def on_arrays(self) -> int:
        """Multiply-adds that arrays do."""
        return self.multiply_adds.kernels + self.dense

    @property
    def digital_share(self) -> float:
        """Share of the network's multiply-adds that arrays do not do."""
        return 1.0 - self.on_arrays / self.multiply_adds.whole if self.dense else self.multiply_adds.digital_share

    @property
    def macs_a_conversion(self) -> float:
        """Multiply-adds on arrays for each conversion that this array makes."""
        return self.on_arrays / self.conversions

    @property
    def macs_a_converted_product(self) -> float:
        """The same if a signed vector took one conversion a bit line: below 2 for kernels of any number of states."""
        return self.on_arrays / (2 * self.scalings)

    @property
    def latency(self) -> tuple[float, float] | None:
        """s: of the slowest array, as if all worked at once, and of all one after another; None if not known."""
        return None if self.device_seconds is None else (max(self.device_seconds), sum(self.device_seconds))

    def facts(self) -> dict[str, object]:
        """For machines; counts, s."""
        parts = self.multiply_adds
        return {
            "steps": self.steps,
            "products": sum(self.products),
            "vectors": sum(self.vectors),
            "one_bit_products": self.one_bit,
            "conversions": self.conversions,
            "conversions_of_every_line": self.every_line,
            "line_drives_at_most": self.lines,
            "multiply_adds": {name: getattr(parts, name) for name in parts.__dataclass_fields__},
            "digital_share": self.digital_share,
            **({"dense_multiply_adds_on_arrays": self.dense} if self.dense else {}),
            "column_scalings": self.scalings,
            "multiply_adds_a_conversion": self.macs_a_conversion,
            "latency": None if self.latency is None else dict(zip(("slowest", "sum"), self.latency, strict=True)),
        }


def inference_counts(
    bundle: KernelBundle, mapping: Mapping, info: ArrayInfo, steps: int, averages: int = 1
) -> InferenceCounts:
    """Counts of one sequence of `steps` steps, every step read `averages` times, on arrays of one kind.

    A bank is read once for each layer and size of kernels that it holds, see `protocols.recurrence`; a tile of
    a dense layer at every step, that of a head once.
    """
    signs = info.input_passes if info.input_signed else 2
    # what is read together: its array, its word lines and columns, and in how many steps
    reads = [
        (array, sum(k.block.size for k in bank), sum(k.block.size for k in bank), steps)
        for array in range(mapping.arrays)
        for bank in _read_together(mapping, array)
    ]
    reads += [
        (tile.array, len(tile.word_lines), len(tile.pairs), steps if every_step(tile.layer) else 1)
        for tile in mapping.tiles
    ]
    products = tuple(averages * sum(each[3] for each in reads if each[0] == n) for n in range(mapping.arrays))
    vectors = tuple(count if info.input_signed else 2 * count for count in products)
    bits = averages * pulses_a_vector(info)
    product = None if info.durations is None else info.durations.product
    return InferenceCounts(
        steps=steps,
        products=products,
        vectors=vectors,
        one_bit=signs * bits * sum(at for _, _, _, at in reads),
        conversions=signs * bits * sum(2 * columns * at for _, _, columns, at in reads),
        every_line=signs * bits * sum(info.cols * at for _, _, _, at in reads),
        lines=bits * sum(rows * at for _, rows, _, at in reads),
        multiply_adds=multiply_adds(bundle, steps),
        scalings=sum(columns * at for _, _, columns, at in reads),
        device_seconds=None if product is None else tuple(product * count for count in vectors),
        dense=sum(tile.block.weights.size * (steps if every_step(tile.layer) else 1) for tile in mapping.tiles),
    )


def _read_together(mapping: Mapping, array: int) -> list[list[PlacedKernel]]:
    """The kernels of one array by bank, layer and size."""
    groups: dict[tuple[int, int, int], list[PlacedKernel]] = {}
    for kernel in mapping.on(array):
        groups.setdefault((kernel.bank, kernel.layer, kernel.block.size), []).append(kernel)
    return list(groups.values())
