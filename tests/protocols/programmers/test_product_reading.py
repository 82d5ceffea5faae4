"""What products tell of cells, against Bayes' rule for a straight line written in its information form."""

import numpy as np
import pytest

from imssa_lab.contract.hal import AdcRanges, FloatArray, Readout
from protocols.probes import probe_voltages
from protocols.programmers.product_reading import ProductReader
from tests.protocols.programmers.pliant import SHAPE, Pliant

ROWS, COLS = SHAPE
GUESS = np.linspace(20e-6, 100e-6, ROWS * COLS).reshape(SHAPE)
SD = np.linspace(3e-6, 9e-6, ROWS * COLS).reshape(SHAPE)
DRIFT = 0.4e-6


class Lines(Pliant):
    """Products with an offset for each bit line and noise of a known size; `asked` are the voltages, V (n, rows)."""

    def __init__(self, noise: float = 3e-8) -> None:
        super().__init__()
        self.noise, self.rng = noise, np.random.default_rng(4)
        self.asked: list[FloatArray] = []
        self.answered: list[FloatArray] = []

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.asked.append(voltages)
        exact = super()._read_mvm(voltages).values + 1e-7 * np.arange(COLS)
        self.answered.append(exact + self.noise * (1 + np.arange(COLS)) * self.rng.standard_normal(exact.shape))
        return Readout(self.answered[-1])


def look(array: Pliant, vectors: int = 4, batches: int = 3) -> ProductReader:
    return ProductReader(array, GUESS, SD, vectors=vectors, drift=DRIFT, batches=batches)


def test_belief_is_that_of_bayes_after_every_batch() -> None:
    array = Lines()
    reader = look(array)
    assert reader.conductance == pytest.approx(GUESS)
    assert reader.doubt == pytest.approx(SD)
    unit = array.info.limits.read_voltage
    span = array.info.window.span
    mean = [np.append(GUESS[:, col], 0.0) for col in range(COLS)]
    known = [np.diag(np.append(SD[:, col] ** 2, span**2)) for col in range(COLS)]
    moves = np.diag(np.append(np.full(ROWS, DRIFT**2), 0.0))
    for batch in range(3):
        before = len(array.asked)
        reader.read()
        drive = array.asked[before]
        inputs = np.column_stack([drive, np.full(len(drive), unit)])
        if batch == 0:  # the first batch is read twice, which shows the noise
            first, again = array.answered
            floor = (1e-12 + 1e-6 * first.std()) ** 2
            noise = np.maximum(((again - first) ** 2).mean(axis=0) / 2, floor)
            current = (first + again) / 2
        else:
            current = array.answered[-1]
        for col in range(COLS):
            before_it = np.linalg.inv(known[col] + moves)
            known[col] = np.linalg.inv(before_it + inputs.T @ inputs / noise[col])
            mean[col] = known[col] @ (before_it @ mean[col] + inputs.T @ current[:, col] / noise[col])
        assert reader.conductance == pytest.approx(np.array(mean).T[:-1], rel=1e-5)
        doubt = np.sqrt([np.diag(one)[:-1] for one in known]).T
        assert reader.doubt == pytest.approx(doubt, rel=1e-5)
    assert len(array.asked) == 4
    assert np.abs(reader.conductance - np.array([c.held for c in array.cells]).reshape(SHAPE)).max() < 3e-6


def test_every_vector_is_another_one_at_full_voltage_either_way() -> None:
    array = Lines()
    reader = look(array, vectors=5, batches=3)
    for _ in range(3):
        reader.read()
    drives = np.vstack([array.asked[0], *array.asked[2:]])
    limit = array.info.limits.read_voltage
    probes = probe_voltages(15, ROWS, limit)
    assert np.array_equal(drives, np.where(probes < 0, -limit, limit))
    assert np.array_equal(array.asked[0], array.asked[1])


def test_voltages_keep_all_lines_together_within_the_converter() -> None:
    """Range of 2^8 codes of 0.1 uA and 2 uA more: 27.6 uA over three word lines at the top of the window."""
    array = Lines()
    ranges = AdcRanges(bits=8, signed=False, scale=(1e-8, 1e-7), offset=(0.0, 2e-6))
    array._info = array.info.model_copy(update={"adc": ranges})
    array._read_mvm = lambda voltages: Readout(  # type: ignore[method-assign]
        array.asked.append(voltages) or np.zeros((len(voltages), COLS), np.int16),  # type: ignore[func-returns-value]
        np.zeros((len(voltages), COLS), np.uint8),
    )
    look(array).read()
    expected = 27.6e-6 / (ROWS * array.info.window.high)
    assert expected < array.info.limits.read_voltage
    assert np.abs(array.asked[0]) == pytest.approx(np.full((4, ROWS), expected))


@pytest.mark.parametrize(("signed", "passes"), [(True, 1), (False, 2)])
def test_reads_count_as_many_vectors_as_one_reading_of_the_array_takes(signed: bool, passes: int) -> None:
    array = Lines()
    array._info = array.info.model_copy(update={"input_signed": signed})
    reader = look(array, vectors=4)
    reader.read()
    one = -(-4 * passes // ROWS)  # 4 or 8 vectors of 3 word lines: begun ones count whole
    assert reader.reads == 2 * one
    reader.read()
    assert reader.reads == 3 * one
    assert sum(map(len, array.asked)) == 12 * passes


def test_a_pulsed_cell_may_be_anywhere_about_where_it_was_and_others_are_known_as_before() -> None:
    array = Lines()
    reader = look(array)
    reader.read()
    reader.read()
    doubt, where = reader.doubt.copy(), reader.conductance.copy()
    cells = np.zeros(SHAPE, dtype=bool)
    cells[0, 1] = cells[2, 1] = cells[1, 4] = True
    reader.forget(cells, 5e-6)
    assert np.array_equal(reader.conductance, where)
    assert reader.doubt == pytest.approx(np.where(cells, np.sqrt(doubt**2 + 5e-6**2), doubt))
    for col in range(COLS):
        covariance = reader._covariance[col]
        pulsed = np.flatnonzero(cells[:, col])
        off = covariance - np.diag(np.diag(covariance))
        assert not off[pulsed].any()
        assert not off[:, pulsed].any()
        assert pulsed.size >= ROWS - 1 or off.any()
