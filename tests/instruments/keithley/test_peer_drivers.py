"""Drivers of others, PyMeasure's and QCoDeS's, on the virtual meters: what they send is understood.

Independent truth for the command sets: neither was written with these instruments in mind. Extra ``peers``.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trials.electrodes.serial_ports import skip_without_serial_ports
from trials.electrodes.smu_bench import SmuBench, one_cell

TERMINATED = {"visa_library": "@py", "read_termination": "\n", "write_termination": "\n"}


@pytest.fixture
def served() -> Iterator[Any]:
    """A bench with these kinds on TCP, one cell of 50 uS between the terminals of its source."""
    with ExitStack() as stack:

        def serve(model: str) -> tuple[SmuBench, str]:
            bench = SmuBench((model, "2400", "707A"))
            bench.twin.cells.stick(one_cell(), 50e-6)
            bench.wiring.switch({(0, 2), (1, 4 + 1), (2, 4 + 3 + 2)})
            bench.gate.receive(b":SOUR:VOLT 5;:OUTP ON\n")
            bench.serve(stack)
            return bench, bench.ports[0].resource

        yield serve


@pytest.fixture
def pymeasure() -> Any:
    skip_without_serial_ports()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports, not ours
        return pytest.importorskip("pymeasure.instruments.keithley", reason='pip install "imssa-lab[peers]"')


@pytest.fixture
def qcodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HOME", str(tmp_path))  # it writes its settings there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("qcodes.instrument_drivers.Keithley", reason='pip install "imssa-lab[peers]"')
    return found


def test_pymeasure_on_a_2400(served: Any, pymeasure: Any) -> None:
    bench, address = served("2400")
    meter = pymeasure.Keithley2400(address, **TERMINATED)
    try:
        meter.reset()
        meter.source_mode = "voltage"
        meter.source_voltage_range = 2
        meter.source_voltage = 0.1
        meter.compliance_current = 1e-3
        meter.current_range = 1e-4
        meter.source_enabled = True
        seen = meter.measure_all()
        assert seen["current"] == pytest.approx(5e-6, abs=0.5e-6)
        assert (seen["voltage"], meter.source_voltage, meter.compliance_current) == (0.1, 0.1, 1e-3)
        assert meter.current == pytest.approx(5e-6, abs=0.5e-6)
        assert meter.source_enabled is True
        meter.source_enabled = False
        assert meter.source_enabled is False
        assert not bench.source.on
        assert bench.source.status.waiting == 0
    finally:
        meter.adapter.close()


def test_pymeasure_on_a_2450(served: Any, pymeasure: Any) -> None:
    bench, address = served("2450")
    meter = pymeasure.Keithley2450(address, **TERMINATED)
    try:
        meter.reset()
        meter.apply_voltage(voltage_range=2, compliance_current=1e-3)
        meter.source_voltage = 0.1
        meter.enable_source()
        meter.measure_current()
        assert meter.current == pytest.approx(5e-6, abs=0.5e-6)
        assert bench.source.limit[0] == 1e-3
        meter.disable_source()
        assert not meter.source_enabled
        assert bench.source.status.waiting == 0
    finally:
        meter.adapter.close()


def test_qcodes_on_a_2400(served: Any, qcodes: Any) -> None:
    bench, address = served("2400")
    meter = qcodes.Keithley2400("k2400", address, visalib="@py")
    try:
        meter.mode("VOLT")
        meter.rangev(2.0)
        meter.compliancei(1e-3)
        meter.volt(0.1)
        meter.output(1)
        assert meter.volt() == pytest.approx(0.1)
        assert meter.curr() == pytest.approx(5e-6, abs=0.5e-6)
        assert (meter.nplci(), meter.compliancei()) == (1.0, 1e-3)
        meter.output(0)
        assert meter.output.get() == 0
        assert bench.source.status.waiting == 0
    finally:
        meter.close()


def test_qcodes_on_a_2450(served: Any, qcodes: Any) -> None:
    bench, address = served("2450")
    meter = qcodes.Keithley2450("k2450", address, visalib="@py")
    try:
        meter.reset()
        meter.terminals("front")
        meter.source_function("voltage")
        meter.sense_function("current")
        meter.source.range(2.0)
        meter.source.limit(1e-3)
        meter.sense.range(1e-4)
        meter.source.voltage(0.1)
        with meter.output_enabled.set_to(True):
            assert meter.sense.current() == pytest.approx(5e-6, abs=0.5e-6)
        meter.source.sweep_setup(0, 0.2, 5)
        assert meter.sense.sweep() == pytest.approx(np.linspace(0, 0.2, 5) * 50e-6, abs=0.6e-6)
        assert bench.source.status.waiting == 0
        assert not bench.source.on  # its sweeps end with the output off
    finally:
        meter.close()
