"""`open_deployment`: the net that a run's folder says is on some arrays, and the corrections kept there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imssa_lab.contract.errors import ConfigError, DeploymentError, WrongInstrument
from imssa_lab.contract.hal import ArrayInfo, CrossbarArray
from imssa_lab.station.addresses import addresses, open_array, split_address, station_entry
from imssa_lab.station.run_logs import newest_journal

if TYPE_CHECKING:
    from imssa_lab.log import Run
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.corrections.correction import Corrections
    from protocols.corrections.deployed_network import DeployedNetwork

CORRECTIONS = "corrections"
_TIME = "%Y%m%dT%H%M%S%f"


def open_deployment(
    folder: str | Path, arrays: Sequence[CrossbarArray] | None = None, *, address: str = ""
) -> DeployedNetwork:
    """The net of a deployment, ready to run new sequences on the chip: ``deployed(sequences)`` gives logits.

    The newest corrections of the folder apply. Those that are kept from now on become a further entry in it; the
    first one stays. Nothing is pulsed and no log is written: to log the reads, give arrays that `record` made. A twin
    starts fresh where it is opened: one that this function opens gets the pulses of the run again, from its log.

    Args:
        folder: as `imssa deploy` left it.
        arrays: programmed, in the order of the deployment, they stay the caller's; None opens those of the run.
        address: of the arrays, in the place of the one that the run names, such as another port.

    Raises:
        ConfigError: the folder holds no finished deployment, or an address is wrong.
        DeploymentError: no corrections are kept there, or kernels were moved since; BundleError: not its bundle.
        WrongInstrument: other arrays than those of the run.
    """
    from imssa_lab.log import open_run
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.corrections.deployed_network import DeployedNetwork
    from protocols.deployment.journal import read_journal

    out = Path(folder)
    path, journal = newest_journal(out)
    with open_run(path) as run, ExitStack() as stack:
        facts = run.provenance
        if not journal or "first index" not in facts:
            raise ConfigError(f"{out} holds no deployment; give a folder that `imssa deploy` wrote")
        bundle = KernelBundle.load(out / facts["bundle"])
        standing = read_journal(journal, bundle, len(run.infos))
        count = standing.mapping.arrays
        corrections = present_corrections(out, bundle, journal)
        if arrays is None:
            opened = _opened(stack, run, address or facts["array"], int(facts["first index"]), count)
        else:
            opened = list(arrays)
        _same_arrays([array.info for array in opened], run.infos[:count], out)
        network = DeployedNetwork(
            bundle,
            opened,
            standing.mapping,
            corrections,
            averages=int(facts.get("averages", "1")),
            keep=lambda new: keep_corrections(out, new),
            owns_arrays=arrays is None,
        )
        stack.pop_all()  # the arrays are the network's, or the caller's
        return network


def kept_corrections(out: Path) -> list[Path]:
    """The files of all corrections that a run's folder keeps, oldest first."""
    return sorted((out / CORRECTIONS).glob("*.json"))


def keep_corrections(out: Path, corrections: Corrections) -> Path:
    """Add corrections to those of a run's folder; from now on they are the newest.

    Raises:
        ConfigError: there is an entry with this very date.
    """
    place = out / CORRECTIONS
    place.mkdir(exist_ok=True)
    path = place / f"{datetime.fromisoformat(corrections.date).strftime(_TIME)[:-3]}.json"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(corrections.text())
    except FileExistsError as error:
        raise ConfigError(f"{path} exists; corrections are never overwritten") from error
    return path


def present_corrections(out: Path, bundle: KernelBundle, journal: Sequence[str]) -> Corrections:
    """The newest corrections of a run's folder, which must be those of its last plan.

    Raises:
        DeploymentError: there are none, a file is damaged, or kernels were moved since.
    """
    from protocols.corrections.correction import Corrections, plan_digest
    from protocols.deployment.journal import plan_entry, read_journal

    kept = kept_corrections(out)
    if not kept:
        raise DeploymentError(f"{out} keeps no corrections; the deployment did not end: imssa recheck {out}")
    try:
        newest = Corrections.read(kept[-1].read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DeploymentError) as error:
        raise DeploymentError(f"{kept[-1]}: {error}; move the file away, and the one before it applies") from error
    plan = plan_entry(read_journal(journal, bundle, 1).mapping, bundle.digest())
    if newest.plan != plan_digest(plan):
        raise DeploymentError(
            f"{kept[-1]} is of kernels in other places than the journal says; finish that check: imssa recheck {out}"
        )
    return newest


def _opened(stack: ExitStack, run: Run, template: str, first: int, count: int) -> list[CrossbarArray]:
    """The arrays of a run, closed with `stack`; twins with what the run did to them."""
    from imssa_lab.log.replay.repeated import repeat

    opened = []
    for index, address in enumerate(addresses(template, count, first)):
        array = open_array(address)
        stack.callback(array.close)
        if _starts_fresh(address):
            repeat(run, index, array)
        opened.append(array)
    return opened


def _starts_fresh(address: str) -> bool:
    entry = station_entry(address)
    if entry is not None:
        return _starts_fresh(entry.address)
    return split_address(address)[0] == "twin"


def _same_arrays(infos: Sequence[ArrayInfo], recorded: Sequence[ArrayInfo], out: Path) -> None:
    if len(infos) < len(recorded):
        raise ConfigError(f"the deployment of {out} is on {len(recorded)} arrays, {len(infos)} given")
    for number, (info, was) in enumerate(zip(infos, recorded, strict=False)):
        if (info.shape, info.window, info.serial) != (was.shape, was.window, was.serial):
            raise WrongInstrument(
                f"array {number} is {info.name} {info.serial!r}, {info.rows}x{info.cols}; the deployment of {out} is "
                f"on {was.name} {was.serial!r}, {was.rows}x{was.cols}; give its arrays, in its order"
            )
