"""`Counted`: an array whose every pulse is in the chip record before it is sent."""

from __future__ import annotations

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, ProgrammingReport, Pulses
from imssa_lab.contract.wrapper import Wrapper
from protocols.chip_record import ChipRecord

_STUCK = {"stuck low": CellOutcome.STUCK_LOW, "stuck high": CellOutcome.STUCK_HIGH}


class Counted(Wrapper):
    """The contract of `array`, with every pulse in the chip record before it is sent.

    Pulses that the record could not take are not sent. A batch that fails on its way stays counted: it may have
    reached the cells. Stuck cells that programming finds are entered as faults. To log as well, put the log outside:
    ``Recorded(Counted(array, record), log)``.

    Raises:
        LogError: also by any call, where the record cannot be written.
    """

    def __init__(self, array: CrossbarArray, record: ChipRecord) -> None:
        super().__init__(array)
        self._record = record
        self.chip = record.know(array.info)

    def note_survey(self, faults: dict[str, BoolArray], found_by: str) -> None:
        """Add to the record that all cells were looked at, and the faults that were found, by name, (rows, cols)."""
        self._record.add_survey(self.chip, faults, found_by)

    def immovable(self) -> BoolArray:
        """Cells of this chip that are stuck or on a dead line by the record, (rows, cols)."""
        return self._record.known_cells(self.info).immovable

    def _before_pulses(self, pulses: Pulses) -> None:
        self._record.add_pulses(self.chip, pulses)

    def _after_programming(self, report: ProgrammingReport) -> None:
        found = {name: report.outcome == end for name, end in _STUCK.items()}
        self._record.add_faults(self.chip, found, "programming")
