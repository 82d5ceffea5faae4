"""The array in other people's frameworks: their own machinery runs it and stores what it answered."""

import csv

import numpy as np
import pytest

from imssa_lab.contract.errors import LimitError
from trials.electrodes.serial_ports import skip_without_serial_ports
from twin import DigitalTwin

TARGET = np.full((4, 3), 60e-6)
VOLTAGES = np.array([0.1, 0.0, 0.2, 0.05])


@pytest.fixture
def array():
    with DigitalTwin("ideal", (4, 3), seed=1) as opened:
        opened.program_conductances(TARGET)
        yield opened


def test_qcodes_stores_products_and_cells_over_their_lines(array, tmp_path):
    qcodes = pytest.importorskip("qcodes")
    dataset = pytest.importorskip("qcodes.dataset")
    from imssa_lab.bridges.qcodes_array import QcodesArray

    dataset.initialise_or_create_database_at(str(tmp_path / "night.db"))
    experiment = dataset.load_or_create_experiment("night", "chip 1")
    chip = QcodesArray("chip", array)
    try:
        chip.voltages(VOLTAGES)
        measurement = dataset.Measurement(experiment)
        measurement.register_parameter(chip.currents)
        measurement.register_parameter(chip.conductances)
        with measurement.run() as run:
            run.add_result((chip.currents, chip.currents()))
            run.add_result((chip.conductances, chip.conductances()))
        found = run.dataset.get_parameter_data()
        np.testing.assert_allclose(found["chip_currents"]["chip_currents"].ravel(), VOLTAGES @ TARGET, rtol=1e-9)
        cells = found["chip_conductances"]
        np.testing.assert_allclose(cells["chip_conductances"].ravel(), TARGET.ravel(), rtol=1e-9)
        np.testing.assert_array_equal(cells["chip_word_line"].ravel(), np.repeat(range(4), 3))
        assert run.dataset.paramspecs["chip_currents"].unit == "A"
        with pytest.raises(ValueError, match="all values must be between"):
            chip.voltages(np.full(4, 0.5))  # above the read limit: refused when it is set
        assert chip.get_idn()["model"] == "twin:ideal"
        assert chip.program(TARGET).within() == 1.0
    finally:
        chip.close()
        qcodes.Instrument.close_all()
        experiment.conn.close()


def test_pymeasure_runs_a_procedure_and_writes_its_file(array, tmp_path):
    skip_without_serial_ports()
    pytest.importorskip("pymeasure")
    from pymeasure.experiment import FloatParameter, Procedure, Results, Worker

    from imssa_lab.bridges.pymeasure_array import PyMeasureArray

    chip = PyMeasureArray(array)

    class Sweep(Procedure):
        volt = FloatParameter("volt", units="V", default=0.2)
        DATA_COLUMNS = ("voltage (V)", "current (A)")

        def execute(self):
            for share in (0.0, 0.5, 1.0):
                chip.voltages = share * self.volt * np.ones(4)
                self.emit("results", {"voltage (V)": share * self.volt, "current (A)": chip.currents[0]})

        def shutdown(self):
            chip.shutdown()

    for name in ("one.csv", "two.csv"):  # each worker is a thread of its own, and the first one shuts down
        worker = Worker(Results(Sweep(), str(tmp_path / name)))
        worker.start()
        worker.join(timeout=30)
        lines = [line for line in (tmp_path / name).read_text().splitlines() if not line.startswith("#")]
        rows = list(csv.DictReader(lines))
        assert [float(row["current (A)"]) for row in rows] == pytest.approx([0, 0.1 * 2.4e-4, 0.2 * 2.4e-4])
    array.rearm()
    assert chip.id == "twin:ideal (seed 1)"
    chip.voltages = np.full(4, 0.5)
    with pytest.raises(LimitError, match="V"):
        _ = chip.currents
    np.testing.assert_allclose(chip.conductances, TARGET)


@pytest.mark.parametrize("quantity", ["conductances", "currents"])
def test_bluesky_counts_and_its_documents_are_valid(array, quantity):
    pytest.importorskip("bluesky")
    from bluesky import RunEngine
    from bluesky.plans import count
    from event_model import DocumentNames, schema_validators

    from imssa_lab.bridges.bluesky_array import BlueskyArray

    chip, documents = BlueskyArray("chip", array, quantity, VOLTAGES), []
    engine = RunEngine(call_returns_result=False)
    engine(count([chip], num=2), lambda name, document: documents.append((name, document)))
    assert [name for name, _ in documents] == ["start", "descriptor", "event", "event", "stop"]
    for name, document in documents:
        plain = {**document}
        if name == "event":
            value = document["data"][f"chip_{quantity}"]
            np.testing.assert_allclose(value, TARGET if quantity == "conductances" else VOLTAGES @ TARGET)
            plain["data"] = {key: np.asarray(each).tolist() for key, each in document["data"].items()}
        schema_validators[DocumentNames[name]].validate(plain)
    key = documents[1][1]["data_keys"][f"chip_{quantity}"]
    assert (key["units"], key["shape"]) == (("S", [4, 3]) if quantity == "conductances" else ("A", [3]))
