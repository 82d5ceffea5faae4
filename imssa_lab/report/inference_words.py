"""What an inference costs, in words for people: the same in a table on the terminal and on a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PREFIXES = ("f", "p", "n", "µ", "m", "", "k", "M")


def with_prefix(value: float, unit: str) -> str:
    """Three digits with the SI prefix that leaves one to three of them before the point."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    power = math.floor(math.log10(abs(value)) / 3 + 1e-9)
    place = min(max(power + 5, 0), len(_PREFIXES) - 1)
    return f"{value / 1000.0 ** (place - 5):.3g} {_PREFIXES[place]}{unit}"


def inference_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Counts of one inference by name, in words.

    Args:
        facts: as `protocols.cost.inference_counts.InferenceCounts.facts` gives them.
    """
    parts = facts["multiply_adds"]
    whole, latency = sum(parts.values()), facts["latency"]
    stays = ", ".join(f"{name} {count}" for name, count in parts.items() if name != "kernels")
    dense = facts.get("dense_multiply_adds_on_arrays", 0)
    analog = (parts["kernels"] + dense) / (2 * facts["column_scalings"])
    held = (
        f"kernels {parts['kernels']} on the arrays"
        if not dense
        else (f"kernels {parts['kernels']} and {dense} of dense layers on the arrays")
    )
    rest = f"({stays})" if not dense else f"of the whole ({stays}, of which the arrays do {dense})"
    return [
        (
            "an inference, on the arrays",
            f"{facts['products']} products in {facts['steps']} steps, {facts['one_bit_products']} of one bit; "
            f"{facts['conversions']} conversions of bit lines in use, {facts['conversions_of_every_line']} of all",
        ),
        (
            "multiply-adds of an inference",
            f"{whole}: {held}; digital {100 * facts['digital_share']:.1f} % "
            f"{rest}, and {facts['column_scalings']} scalings of columns",
        ),
        (
            "multiply-adds a conversion",
            f"{facts['multiply_adds_a_conversion']:.3g}; {analog:.3g} with one conversion a bit line for a signed "
            + ("vector, below 2 whatever the states" if not dense else "vector, kernels alone below 2"),
        ),
        (
            "latency of an inference",
            "not known: the driver does not say how long operations take"
            if latency is None
            else f"{latency['slowest']:.3g} s by the slowest array, {latency['sum']:.3g} s one after another",
        ),
    ]
