"""What a deployment takes, before anything is sent: pulses and time by a rehearsal, the log.

A rehearsal does all of it on twins of the profile that the arrays name, look-ahead and remedies included. A chip's
own stuck cells and dead lines decide how many kernels have to be mended: the twins have those that a chip record
lists. Without one they are other chips than the arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imssa_lab.contract.array_types import TWIN_PROFILE, FloatArray
from imssa_lab.contract.hal import CrossbarArray, Programmer
from protocols.chip_record import ChipRecord, KnownCells
from protocols.programmers import recipe_inside
from protocols.wrappers.session_counts import Tally
from twin import DigitalTwin, TwinProfile

if TYPE_CHECKING:
    from pathlib import Path

    from imssa_lab.cli.arrays.packed_arrays import Packed
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.s4d.dense_layer import Layers
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


def known_cells(record: Path | None, arrays: Sequence[CrossbarArray]) -> list[KnownCells] | None:
    """What a chip record has of each array's chip; None without one. The file is not made where there is none.

    Raises:
        LogError: it cannot be read, or has a chip with another shape.
    """
    if record is None:
        return None
    if not record.exists():
        return [KnownCells.nothing(array.info.shape) for array in arrays]
    with ChipRecord(record) as chips:
        return [chips.known_cells(array.info) for array in arrays]


def stand_ins(
    arrays: Sequence[CrossbarArray],
    like: str | None,
    standing: Standing | None = None,
    number: int = 0,
    known: Sequence[KnownCells] | None = None,
) -> tuple[list[StandIn], str]:
    """A twin for each array and what they are, in words; none where nothing says of which profile they would be.

    Args:
        number: of the rehearsal.
        like: profile; None for the one that the arrays name.
        standing: what a deployment left on the arrays; None for fresh chips.
        known: of each array's chip, which the twins then share; None where nothing is known.
    """
    info = arrays[0].info
    profile = _profile(info.provenance, like)
    if profile is None:
        return [], ""
    profile = profile.model_copy(update={"window": info.window})
    made = []
    for index, array in enumerate(arrays):
        seed = _SEED + _A_REHEARSAL * number + index
        if known is None:
            twin = DigitalTwin(profile, info.shape, seed)
        else:
            twin = _with_known(profile, info.shape, seed, known[index])
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
    return made, f"{profile.name}, {kind}, {_likeness(known)}"


def _with_known(profile: TwinProfile, shape: tuple[int, int], seed: int, known: KnownCells) -> DigitalTwin:
    """A twin with the stuck cells and dead lines that are known of a chip.

    If all cells of the chip were looked at, it has no other ones; else it has those of a chip of the profile too. The
    record does not say at which conductance a cell is stuck: that is drawn from the profile.
    """
    drawn = np.random.default_rng((seed, 1))
    scores = drawn.standard_normal(shape), drawn.standard_normal(shape)
    stuck, lines = profile.stuck, profile.lines
    if known.surveyed:
        none = stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
        profile = profile.model_copy(update={"stuck": none, "lines": None})
    twin = DigitalTwin(profile, shape, seed)
    fresh = twin.cells.conductance
    at: dict[str, float | FloatArray] = {
        "stuck low": stuck.off_conductance,
        "stuck high": stuck.on(scores[0]),
        "dead word line": fresh if lines is None else lines.left(scores[1]),
        "dead bit line": 0.0 if lines is None else lines.bit_conductance,
    }
    for fault, conductance in at.items():  # where several were found of a cell, its line decides
        twin.cells.stick(known.faults[fault], conductance)
    return twin


def _likeness(known: Sequence[KnownCells] | None) -> str:
    """How the twins are like the chips, in words."""
    count = 0 if known is None else sum(int(np.count_nonzero(each.immovable)) for each in known)
    surveyed = [] if known is None else [each.surveyed for each in known if each.surveyed]
    if known is None or not (count or surveyed):
        return "other chips than yours"
    mine = f"with the {count} cells that the chip record lists as stuck or on a dead line"
    if len(surveyed) == len(known):
        return f"{mine}, surveyed {min(surveyed).partition('T')[0]}"
    return f"{mine}; not all chips were surveyed, so the twins have other ones too"


def _profile(provenance: dict[str, str], like: str | None) -> TwinProfile | None:
    if like is not None:
        return TwinProfile.load(like)
    if "profile" in provenance:  # of a twin
        return TwinProfile.model_validate_json(provenance["profile"])
    named = provenance.get(TWIN_PROFILE)
    return None if named is None else TwinProfile.load(named)


def least_log(bundle: KernelBundle, sequences: Sequences, packed: Packed, averages: int, layers: Layers) -> int:
    """Bytes that the products of a deployment's closed loops take in its log, as if no kernel had to be mended."""
    from imssa_lab.log.write.record_sizes import RecordSizes
    from imssa_lab.mapping import map_bundle, reads_a_step

    info = packed.arrays[0].info
    mapping = map_bundle(bundle, info.shape, info.window, packed.needed, layers=layers, packing=packed.packing)
    n, steps, _ = sequences.calibration_inputs.shape
    impulses = 2  # among the kernels' levels, and for the picture of the report
    runs = averages * (n + impulses + len(sequences.test_inputs)) * steps * reads_a_step(mapping)
    return RecordSizes(info).least_of_products(runs if info.input_signed else 2 * runs)
