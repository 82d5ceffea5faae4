"""`Metered`: an array on which a budget is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.contract.wrapper import Wrapper
from protocols.wrappers.budget import Account


class Metered(Wrapper):
    """The contract of `array`; every pulse and all device time are counted on `account`.

    `counts` (rows, cols) holds the pulses of each cell. Raises `DeploymentError` in place of sending a batch of
    pulses that the budget does not cover.
    """

    def __init__(self, array: CrossbarArray, account: Account) -> None:
        super().__init__(array)
        self._account = account
        self._seen = array.time
        self.counts: NDArray[np.int32] = np.zeros(array.info.shape, dtype=np.int32)

    def _book(self) -> None:
        now = self._array.time
        self._account.passed(now - self._seen)
        self._seen = now

    def _before_pulses(self, pulses: Pulses) -> None:
        self._book()
        self._account.ask(int(np.count_nonzero(pulses.mask)))
        self.counts += pulses.mask

    def _after_pulses(self, pulses: Pulses) -> None:
        self._book()

    def _after_wait(self, seconds: float) -> None:
        self._book()

    def _close(self) -> None:
        """The array inside stays its owner's to close."""
