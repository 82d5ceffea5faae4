"""`open_deployment`: the net that a run's folder says is on some arrays, and the corrections kept there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imssa_lab.contract.errors import ConfigError, DeploymentError, WrongInstrument
from imssa_lab.contract.hal import ArrayInfo, CrossbarArray
from imssa_lab.station.addresses import addresses, open_array, split_address, station_entry
from imssa_lab.station.run_logs import newest_journal

if TYPE_CHECKING:
    from imssa_lab.mapping import Mapping as KernelMapping
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
    without a file of its state starts fresh where it is opened: one that this function opens gets the pulses of the
    run again, from its log.

    Args:
        folder: as `imssa deploy` left it.
        arrays: programmed, in the order of the deployment, they stay the caller's; None opens those of the run.
        address: of the arrays, instead of the one that the run names, such as another port.

    Raises:
        ConfigError: the folder holds no finished deployment, or an address is wrong.
        DeploymentError: no corrections are kept there, or kernels were moved since; BundleError: not its bundle.
        WrongInstrument: other arrays than those of the run.
    """
    found = DeployedRun.read(Path(folder))
    if arrays is not None:
        return found.network(arrays)
    with ExitStack() as stack:
        network = found.network(found.open_arrays(stack, address), owns_arrays=True)
        stack.pop_all()
    return network


@dataclass(frozen=True)
class DeployedRun:
    """What a run's folder says of its deployment.

    Attributes:
        folder, log: of the run, and the log that holds the newest journal; facts: that log's provenance.
        infos: of the arrays in use; plan: the journal's text for the mapping; corrections: the newest.
    """

    folder: Path
    log: Path
    facts: Mapping[str, str]
    infos: tuple[ArrayInfo, ...]
    bundle: KernelBundle
    mapping: KernelMapping
    plan: str
    corrections: Corrections

    @classmethod
    def read(cls, folder: Path) -> DeployedRun:
        """Errors as of `open_deployment`; no array is opened."""
        from imssa_lab.log import open_run
        from imssa_lab.s4d.bundle import KernelBundle
        from protocols.deployment.journal import plan_entry, read_journal

        log, journal = newest_journal(folder)
        with open_run(log) as run:
            facts, infos = run.provenance, run.infos
        if not journal or "first index" not in facts:
            raise ConfigError(f"{folder} holds no deployment; give a folder that `imssa deploy` wrote")
        bundle = KernelBundle.load(folder / facts["bundle"])
        mapping = read_journal(journal, bundle, len(infos)).mapping
        plan = plan_entry(mapping, bundle.digest())
        used = tuple(infos[: mapping.arrays])
        return cls(folder, log, facts, used, bundle, mapping, plan, _present_corrections(folder, plan))

    def open_arrays(self, stack: ExitStack, address: str = "") -> list[CrossbarArray]:
        """The arrays of the run, closed with `stack`; twins with what the run did to them."""
        from imssa_lab.log import open_run
        from imssa_lab.log.replay.repeated import repeat

        opened = []
        for index, place in enumerate(
            addresses(address or self.facts["array"], len(self.infos), int(self.facts["first index"]))
        ):
            fresh = _starts_fresh(place)
            array = open_array(place)
            stack.callback(array.close)
            if fresh:
                with open_run(self.log) as run:
                    repeat(run, index, array)
            opened.append(array)
        return opened

    def network(self, arrays: Sequence[CrossbarArray], *, owns_arrays: bool = False) -> DeployedNetwork:
        """The net on its arrays; what it keeps becomes an entry of the folder."""
        from protocols.corrections.deployed_network import DeployedNetwork

        self._check([array.info for array in arrays])
        return DeployedNetwork(
            self.bundle,
            arrays,
            self.mapping,
            self.corrections,
            averages=int(self.facts.get("averages", "1")),
            keep=lambda new: keep_corrections(self.folder, new),
            owns_arrays=owns_arrays,
        )

    def _check(self, infos: Sequence[ArrayInfo]) -> None:
        if len(infos) < len(self.infos):
            raise ConfigError(f"the deployment of {self.folder} is on {len(self.infos)} arrays, {len(infos)} given")
        for number, (info, was) in enumerate(zip(infos, self.infos, strict=False)):
            if (info.shape, info.window, info.serial) != (was.shape, was.window, was.serial):
                raise WrongInstrument(
                    f"array {number} is {info.name} {info.serial!r}, {info.rows}x{info.cols}; the deployment of "
                    f"{self.folder} is on {was.name} {was.serial!r}, {was.rows}x{was.cols}; give its arrays, in its "
                    "order"
                )


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


def read_corrections(path: Path) -> Corrections:
    """The corrections in a file.

    Raises:
        DeploymentError: it cannot be read, or is damaged; the message names it.
    """
    from protocols.corrections.correction import Corrections

    try:
        return Corrections.read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DeploymentError) as error:
        raise DeploymentError(f"{path}: {error}") from error


def _present_corrections(out: Path, plan: str) -> Corrections:
    """The newest corrections of a run's folder, which must be those of its last plan.

    Raises:
        DeploymentError: there are none, a file is damaged, or kernels were moved since.
    """
    from protocols.corrections.correction import plan_digest

    kept = kept_corrections(out)
    if not kept:
        raise DeploymentError(f"{out} keeps no corrections; the deployment did not end: imssa recheck {out}")
    try:
        newest = read_corrections(kept[-1])
    except DeploymentError as error:
        raise DeploymentError(f"{error}; move the file away, and the one before it applies") from error
    if newest.plan != plan_digest(plan):
        raise DeploymentError(
            f"{kept[-1]} is of kernels in other places than the journal says; finish that check: imssa recheck {out}"
        )
    return newest


def _starts_fresh(address: str) -> bool:
    """Whether it is a twin, and no file keeps its state; asked before it is opened, which may write one."""
    entry = station_entry(address)
    if entry is not None:
        return _starts_fresh(entry.address)
    driver, _, options = split_address(address)
    return driver == "twin" and not Path(options.get("state", "")).is_file()
