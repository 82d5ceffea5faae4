"""What a deployment takes, before anything is sent: pulses and time by a rehearsal, the log.

A rehearsal does all of it on twins of the profile that the arrays name, look-ahead and remedies included. They are
other chips than the arrays: a chip's own stuck cells and dead lines decide how many kernels have to be mended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imssa_lab.contract.array_types import TWIN_PROFILE
from imssa_lab.contract.hal import CrossbarArray, Programmer
from protocols.programmers import recipe_inside
from protocols.wrappers.session_counts import Tally
from twin import DigitalTwin, TwinProfile

if TYPE_CHECKING:
    from imssa_lab.cli.arrays.packed_arrays import Packed
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.journal import Standing
    from protocols.deployment.sequences import Sequences

_SEED = 7_000_000
"""Of the first stand-in: far from those that people give their twins."""
_A_REHEARSAL = 1000
"""Seeds that each rehearsal has."""
_ENOUGH = 16
"""Arrays in all rehearsals together over which the luck of single chips averages out."""


class StandIn(Tally):
    """A twin instead of an array, programmed by the array's own recipe if it has one."""

    def __init__(self, twin: DigitalTwin, programmer: Programmer | None, number: int) -> None:
        super().__init__(twin)
        self._info = twin.info.model_copy(update={"name": f"stand-in {number} of the rehearsal"})
        self._programmer = programmer

    def _default_programmer(self) -> Programmer:
        return super()._default_programmer() if self._programmer is None else self._programmer


def rehearsals(needed: int) -> int:
    """How often a deployment on so many arrays is rehearsed, each time on other chips."""
    return -(-_ENOUGH // min(needed, _ENOUGH))


def stand_ins(
    arrays: Sequence[CrossbarArray], like: str | None, standing: Standing | None = None, number: int = 0
) -> tuple[list[StandIn], str]:
    """A twin for each array and what they are, in words; none where nothing says of which profile they would be.

    Args:
        number: of the rehearsal.
        like: profile; None for the one that the arrays name.
        standing: what a deployment left on the arrays; None for fresh chips.
    """
    info = arrays[0].info
    profile = _profile(info.provenance, like)
    if profile is None:
        return [], ""
    profile = profile.model_copy(update={"window": info.window})
    made = []
    for index, array in enumerate(arrays):
        twin = DigitalTwin(profile, info.shape, seed=_SEED + _A_REHEARSAL * number + index)
        if standing is not None and index < standing.mapping.arrays:
            target, _ = standing.mapping.target(index)
            held = np.where(np.isfinite(target), target, twin.cells.conductance)
            if standing.arrays:
                state = standing.arrays[index]
                held = np.where(state.stuck & np.isfinite(state.standing), state.standing, held)
            twin.cells.conductance[:] = held
        own = array._default_programmer()  # noqa: SLF001 - the half of the contract that a backend writes
        made.append(StandIn(twin, None if recipe_inside(own) is None else own, index))
    kind = "as the deployment left them" if standing is not None else "fresh"
    return made, f"{profile.name}, {kind}, other chips than yours"


def _profile(provenance: dict[str, str], like: str | None) -> TwinProfile | None:
    if like is not None:
        return TwinProfile.load(like)
    if "profile" in provenance:  # of a twin
        return TwinProfile.model_validate_json(provenance["profile"])
    named = provenance.get(TWIN_PROFILE)
    return None if named is None else TwinProfile.load(named)


def least_log(bundle: KernelBundle, sequences: Sequences, packed: Packed, averages: int) -> int:
    """Bytes that the products of a deployment's closed loops take in its log, as if no kernel had to be mended."""
    from imssa_lab.log.write.record_sizes import RecordSizes
    from imssa_lab.mapping import map_bundle, reads_a_step

    info = packed.arrays[0].info
    mapping = map_bundle(bundle, info.shape, info.window, packed.needed, packing=packed.packing)
    n, steps, _ = sequences.calibration_inputs.shape
    impulses = 2  # among the kernels' levels, and for the picture of the report
    runs = averages * (n + impulses + len(sequences.test_inputs)) * steps * reads_a_step(mapping)
    return RecordSizes(info).least_of_products(runs if info.input_signed else 2 * runs)
