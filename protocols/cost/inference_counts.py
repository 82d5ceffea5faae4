"""Operations of one inference on the arrays and on the digital side, from a mapping alone."""

from __future__ import annotations

from dataclasses import dataclass

from imssa_lab.contract.hal import ArrayInfo
from imssa_lab.mapping import Mapping
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.cost import MultiplyAdds, multiply_adds
from protocols.cost.read_counts import pulses_a_vector


@dataclass(frozen=True)
class InferenceCounts:
    """One sequence of `steps` steps through the kernels of a mapping.

    Attributes:
        products: vectors of both signs that kernels need, by array; vectors: those that arrays read for them, two
            each where word lines take no sign, by array.
        one_bit: products of one bit; conversions: by converters of bit lines that hold kernels, one a line in each of
            these; every_line: the same of all bit lines, where an array leaves none out.
        lines: word lines addressed in these, each in the pass of its sign alone: no more drives can there be, and
            fewer are, since zeros drive none.
        multiply_adds: of the network; scalings: of bit lines to weights, digital, beside them.
        device_seconds: latency by array, s, of arrays one after another, None where the driver does not say.
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

    @property
    def macs_a_conversion(self) -> float:
        """Multiply-adds of kernels for each conversion that this array makes."""
        return self.multiply_adds.kernels / self.conversions

    @property
    def macs_a_converted_product(self) -> float:
        """The same if a signed vector took one conversion a bit line: below 2 for any number of states."""
        return self.multiply_adds.kernels / (2 * self.scalings)

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
            "digital_share": parts.digital_share,
            "column_scalings": self.scalings,
            "multiply_adds_a_conversion": self.macs_a_conversion,
            "latency": None if self.latency is None else dict(zip(("slowest", "sum"), self.latency, strict=True)),
        }


def inference_counts(
    bundle: KernelBundle, mapping: Mapping, info: ArrayInfo, steps: int, averages: int = 1
) -> InferenceCounts:
    """Counts of one sequence of `steps` steps, every step read `averages` times, on arrays of one kind.

    A bank is read once for each layer and size of kernels that it holds, see `protocols.recurrence`.
    """
    signs = info.input_passes if info.input_signed else 2
    times = steps * averages
    banks = {(k.array, k.bank, k.layer, k.block.size) for k in mapping.kernels}
    products = tuple(times * sum(bank[0] == array for bank in banks) for array in range(mapping.arrays))
    vectors = tuple(count if info.input_signed else 2 * count for count in products)
    one_bit = times * signs * pulses_a_vector(info)
    columns = sum(kernel.block.size for kernel in mapping.kernels)
    product = None if info.durations is None else info.durations.product
    return InferenceCounts(
        steps=steps,
        products=products,
        vectors=vectors,
        one_bit=len(banks) * one_bit,
        conversions=2 * columns * one_bit,
        every_line=len(banks) * info.cols * one_bit,
        lines=columns * times * pulses_a_vector(info),
        multiply_adds=multiply_adds(bundle, steps),
        scalings=columns * steps,
        device_seconds=None if product is None else tuple(product * count for count in vectors),
    )
