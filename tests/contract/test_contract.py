"""The contract suite that drivers import, on every kind of array there is."""

import subprocess
import sys

import numpy as np
import pytest

from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.contract.testing import ContractSuite
from protocols.programmers.hysteretic import WriteVerify

RECIPE = WriteVerify(
    tolerance_in=6e-6,
    tolerance_out=12e-6,
    set_voltage=(1.0, 3.0, 1.0),
    set_gate=(0.4, 1.4, 0.05),
    set_width=1e-3,
    reset_voltage=(0.5, 2.2, 0.1),
    reset_gate=(5.0, 5.0, 0.5),
    reset_width=1e-3,
    max_steps=60,
)


class TestContract(ContractSuite):
    set_pulse = (2.0, 0.7, 1e-3)  # no source-measure unit makes a much shorter one
    reset_pulse = (1.6, 5.0, 1e-3)
    programmer = RECIPE
    simulated_time = True

    @pytest.fixture
    def run(self, every_kind, journals):
        self.journals = journals
        return every_kind

    @pytest.fixture
    def columns(self, bit_lines):
        return bit_lines

    def reads_seen(self, array):
        if not self.journals:
            return None
        reads = [entry.voltage for entry in self.journals[0].entries if entry.what in ("mvm", "cells")]
        return [float(np.nanmax(np.abs(voltage), initial=0.0)) for voltage in reads]

    def seen(self, array):
        if not self.journals:
            return None
        journal = self.journals[0]
        has_outputs = any(entry.what == "on" for entry in journal.entries)  # the twin itself has none
        return len(journal.entries), journal.grounded or not has_outputs


def test_pulses_are_checked_when_they_are_made() -> None:
    ones = np.ones((2, 2))
    with pytest.raises(LimitError, match="both a voltage and a gate"):
        Pulses(PulseKind.SET, ones, np.full((2, 2), np.nan), 1e-6)
    with pytest.raises(LimitError, match="above zero"):
        Pulses(PulseKind.SET, -ones, ones, 1e-6)
    with pytest.raises(LimitError, match="width"):
        Pulses(PulseKind.SET, ones, ones, 0.0)
    with pytest.raises(LimitError, match="shape"):
        Pulses(PulseKind.SET, ones, np.ones((3, 2)), 1e-6)


def test_only_who_asks_for_the_suite_needs_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "import imssa_lab.cli, imssa_lab.station.addresses, twin\n"
        "try: import imssa_lab.contract.testing\n"
        "except imssa_lab.contract.errors.ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "imssa-lab[testing]"' in done.stdout
