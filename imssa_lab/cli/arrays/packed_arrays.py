"""The arrays that a deployment opens, and how its kernels are packed on them: as asked, or as fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imssa_lab.contract.errors import ConfigError, DeploymentError, LinkError

if TYPE_CHECKING:
    from imssa_lab.contract.hal import CrossbarArray
    from imssa_lab.mapping import Packing
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.s4d.dense_layer import Layers


PACKING = "packing"
"""Under this name the provenance of a log says how kernels were packed."""


@dataclass(frozen=True)
class Packed:
    """What was opened and decided.

    Attributes:
        arrays: spare ones last; needed: how many the kernels take; why: it is this packing.
    """

    arrays: Sequence[CrossbarArray]
    packing: Packing
    needed: int
    why: str

    @property
    def provenance(self) -> dict[str, str]:
        """For the log."""
        return {PACKING: self.packing, f"{PACKING} because": self.why}

    def __str__(self) -> str:
        number = "1 array" if self.needed == 1 else f"{self.needed} arrays"
        return f"{self.packing}, {number}: {self.why}"


def kept_packing(provenance: Mapping[str, str]) -> Packing:
    """The packing of a deployment, from the provenance of its log; those of earlier versions name none."""
    return "area" if provenance.get(PACKING) == "area" else "time"


def open_packed(
    stack: ExitStack,
    template: str,
    first: int,
    bundle: KernelBundle,
    spares: int,
    asked: Packing | None,
    why: str,
    layers: Layers = "kernels",
) -> Packed:
    """As many arrays as the kernels take, and spare ones; the first one tells how many those are.

    Args:
        asked: the packing, and `why`; None to pack for time, and for area if there are too few arrays for that.
        layers: with the dense layers, or the kernels alone.

    Raises:
        DeploymentError: there are not so many.
    """
    from imssa_lab.mapping import arrays_needed
    from imssa_lab.station.addresses import addresses, open_array

    arrays = [stack.enter_context(open_array(addresses(template, 1, first)[0]))]
    shape = arrays[0].info.shape
    packing: Packing = asked or "time"
    needed, least = (arrays_needed(bundle, shape, layers, which) for which in (packing, "area"))
    try:
        for spec in addresses(template, needed + spares, first)[1:]:
            arrays.append(stack.enter_context(open_array(spec)))
    except (ConfigError, LinkError) as error:
        there = len(arrays)
        if asked is not None or least >= needed or least + spares > there:
            raise too_few(needed, spares, there, shape, error, closer=least) from error
        extra = f" and {spares} spare" if spares else ""
        short = f"packed for time, the kernels need {needed} arrays{extra}, there {_are(there)} ({error})"
        return Packed(arrays[: least + spares], "area", least, short)
    return Packed(
        arrays, packing, needed, why if asked else "there are enough arrays for fewest products a time step"
    )


def too_few(
    needed: int, spares: int, there: int, shape: tuple[int, int], why: Exception, closer: int = 0
) -> DeploymentError:
    """The error where a deployment needs more arrays than there are, with the ways out.

    Args:
        closer: how many it needs packed for area; 0 where that is not known.
    """
    if there >= needed:
        return DeploymentError(f"{needed} arrays needed are there, and {spares} spare ones are not: {why}")
    lines = "" if shape == (64, 64) else f" --shape {shape[0]}x{shape[1]}"
    fewer = f" (--packing area needs {closer})" if 0 < closer < needed else ""
    return DeploymentError(
        f"{needed} arrays of {shape[0]}x{shape[1]} needed, there {_are(there)}: name more "
        f"by --array{fewer}, or train a net that fits: imssa train --arrays {there}{lines} ({why})"
    )


def _are(there: int) -> str:
    return "is 1" if there == 1 else f"are {there}"
