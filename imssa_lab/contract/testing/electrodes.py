"""What every `CrossbarArray` promises about its electrodes: tests of `ContractSuite`. SI units: S, V, A, s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import ArrayInfo, CrossbarArray, Limits, PulseKind, Pulses

Script = Callable[[CrossbarArray], Any]
"""What a test does with an array; gives what it saw."""
Run = Callable[[Script], Any]
"""Hands a script a fresh array, closes it, and gives what the script gave."""

_ROUNDING = 1 + 1e-9


def lowered(info: ArrayInfo, share: float) -> Limits:
    """The limits of an array with its read limit at this share of the voltage that cells are read at."""
    return info.limits.model_copy(update={"read_voltage": share * info.read_voltage})


def _refusal(call: Callable[[], object]) -> str | None:
    """What the LimitError of a call says; None where it goes through."""
    try:
        call()
    except LimitError as error:
        return str(error)
    return None


class ElectrodeSuite:
    """See `ContractSuite`."""

    set_pulse: ClassVar[tuple[float, float, float]]
    reset_pulse: ClassVar[tuple[float, float, float]]

    @pytest.fixture
    def run(self) -> Run:
        """How a test meets its array."""
        raise NotImplementedError

    def reads_seen(self, array: CrossbarArray) -> Sequence[float] | None:
        """Largest magnitude on a word line in every read so far, V, by the instrument's own journal.

        None where the instrument keeps no journal: then only results are compared.
        """
        return None

    def test_a_lowered_read_limit_lowers_what_is_driven_and_leaves_results_right(self, run: Run) -> None:
        """Or it is refused with a reason, and nothing has changed."""

        def script(array: CrossbarArray) -> Any:
            mask = np.ones(array.info.shape, dtype=np.bool_)
            array.apply_pulses(Pulses.on(mask, PulseKind.SET, *self.set_pulse))
            own = array.info
            limit = 0.5 * own.read_voltage
            vector = np.full(own.rows, limit)
            before = array.read_conductances(averages=32), array.read_mvm(np.tile(vector, (64, 1))).mean(axis=0)
            started = len(self.reads_seen(array) or ())
            refused = _refusal(lambda: array.lower_limits(lowered(own, 0.5)))
            if refused is not None:
                assert f"{limit:g} V" in refused, "refused, but not why"
                assert array.info == own
                limit = own.limits.read_voltage
            else:
                assert array.info.limits.read_voltage == array.info.read_voltage == limit
                with pytest.raises(LimitError, match="at most"):
                    array.read_mvm(np.full(own.rows, own.limits.read_voltage))
            after = array.read_conductances(averages=32), array.read_mvm(np.tile(vector, (64, 1))).mean(axis=0)
            seen = self.reads_seen(array)
            return before, after, limit, None if seen is None else seen[started:]

        before, after, limit, seen = run(script)
        for earlier, later in zip(before, after, strict=True):
            ratio = np.median(later) / np.median(earlier)
            assert ratio == pytest.approx(1.0, abs=0.05), "the result depends on the limit"
        if seen is not None:
            assert len(seen) > 0, "the journal has no reads"
            assert max(seen) <= limit * _ROUNDING, "the electrodes saw more than the lowered limit"
