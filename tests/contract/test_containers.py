"""Masks, names, labels and units of containers are honoured or refused, wherever an array comes in."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.array_types import ColumnCalibration, Pulses
from imssa_lab.contract.checks import containers
from imssa_lab.contract.closed_loop import ClosedLoop, LoopBank
from imssa_lab.contract.errors import ImssaError, LimitError
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.virtual.bench_twin import BenchTwin
from protocols.deployment.sequences import Sequences

torch = pytest.importorskip("torch")
xarray = pytest.importorskip("xarray")
pandas = pytest.importorskip("pandas")

SHAPE = (4, 3)
TARGET = np.arange(12.0).reshape(SHAPE) * 1e-6 + 20e-6


class Kelvin(np.ndarray):
    """An array that says more than its numbers: its unit."""


def masked(values: np.ndarray[Any, Any]) -> Any:
    mask = np.zeros(values.shape, dtype=bool)
    mask.flat[0] = True
    return np.ma.MaskedArray(values, mask)


BAD: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "masked": masked,
    "a list of masked arrays": lambda values: [masked(row) for row in np.atleast_2d(values)],
    "complex": lambda values: values + 0.1j,
    "object": lambda values: values.astype(object),
    "text": lambda values: values.astype(str),
    "times": lambda values: np.zeros(values.shape, dtype="datetime64[s]"),
    "records": lambda values: np.zeros(values.shape, dtype=[("volt", float)]),
    "an unknown subclass": lambda values: values.view(Kelvin),
    "other dimensions": lambda values: xarray.DataArray(values, dims=[f"d{i}" for i in range(values.ndim)]),
    "a data set": lambda values: xarray.Dataset(),
    "a pandas series of strings": lambda values: pandas.Series(["a"] * values.size),
    "a tensor with a gradient": lambda values: torch.tensor(values.astype(float), requires_grad=True),
    "a sparse tensor": lambda values: torch.tensor(values.astype(float)).to_sparse(),
    "ragged": lambda values: [[0.0], [0.0, 0.0]],
    "nothing": lambda values: None,
    "a set": lambda values: {1.0},
}


def loop(inputs: Any) -> Callable[[CrossbarArray], object]:
    bank = LoopBank(
        np.array([[0, 1]]), np.array([[0, 1]]), np.full((1, 2), 0.1), np.ones((1, 2)), np.ones(1), np.ones(1)
    )
    closed = ClosedLoop([bank], np.zeros(1))
    return lambda array: array.read_loop(closed, inputs, closed.rest(1))


ENTRIES: dict[str, tuple[np.ndarray[Any, Any], Callable[[CrossbarArray, Any], object]]] = {
    "voltages": (np.full(4, 0.1), lambda array, values: array.read_mvm(values)),
    "vectors": (np.full((2, 4), 0.1), lambda array, values: array.read_mvm(values)),
    "read mask": (np.ones(SHAPE, dtype=bool), lambda array, values: array.read_conductances(_needed(values))),
    "target": (TARGET, lambda array, values: array.program_conductances(values)),
    "mask": (np.ones(SHAPE, dtype=bool), lambda array, values: array.program_conductances(TARGET, _needed(values))),
    "pulse voltage": (np.ones(SHAPE), lambda array, values: Pulses("SET", values, np.ones(SHAPE), 1e-5)),  # type: ignore[arg-type]
    "pulse gate": (np.ones(SHAPE), lambda array, values: Pulses("SET", np.ones(SHAPE), values, 1e-5)),  # type: ignore[arg-type]
    "pulses on a mask": (np.ones(SHAPE, dtype=bool), lambda array, values: Pulses.on(values, "SET", 1.0, 1.0, 1e-5)),
    "pulses at a voltage": (
        np.ones(SHAPE),
        lambda array, values: Pulses.on(np.ones(SHAPE, dtype=bool), "SET", values, 1.0, 1e-5),
    ),
    "gain": (np.ones(3), lambda array, values: ColumnCalibration(values, np.zeros(3), np.zeros(3))),
    "offset": (np.zeros(3), lambda array, values: ColumnCalibration(np.ones(3), values, np.zeros(3))),
    "inputs of a loop": (np.zeros((1, 2, 1)), lambda array, values: loop(values)(array)),
    "sequences": (
        np.zeros((2, 3, 4)),
        lambda array, values: Sequences(values, np.zeros((2, 3, 4)), np.zeros(2, dtype=np.int64)),
    ),
}


def _needed(mask: Any) -> Any:
    """None means all cells where a mask may be left out."""
    return mask if mask is not None else {}


@pytest.fixture
def array() -> BenchTwin:
    return BenchTwin("supert-a0-easy", SHAPE, seed=2)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_says_more_than_its_numbers_is_refused(array: BenchTwin, entry: str, bad: str) -> None:
    good, call = ENTRIES[entry]
    if bad == "a tensor with a gradient" and good.dtype.kind == "b":
        pytest.skip("bool tensors have none")
    with pytest.raises(ImssaError):
        call(array, BAD[bad](good))
    assert array.journal.entries == [], "something was driven"


@pytest.mark.parametrize("entry", ENTRIES)
def test_plain_containers_pass(array: BenchTwin, entry: str) -> None:
    good, call = ENTRIES[entry]
    passing: list[Any] = [good, good.tolist(), tuple(map(tuple, good)) if good.ndim == 2 else tuple(good)]
    passing += [torch.tensor(good), np.ma.MaskedArray(good), np.asfortranarray(good), good[::1]]
    if good.dtype.kind == "f":
        passing += [good.astype(np.float32), good.astype(np.longdouble)]
    if good.ndim < 3:
        passing.append((pandas.DataFrame if good.ndim == 2 else pandas.Series)(good))
    for values in passing:
        call(array, values)


def names(good: np.ndarray[Any, Any], entry: str) -> tuple[str, ...]:
    if entry == "vectors":
        return ("n", "row")
    return {1: ("col",) if entry in ("gain", "offset") else ("row",), 2: ("row", "col")}[good.ndim]


def test_dimensions_count_by_name(array: BenchTwin) -> None:
    turned = xarray.DataArray(TARGET, dims=("row", "col")).transpose("col", "row")
    report = array.program_conductances(turned)
    assert np.array_equal(report.target, TARGET)
    mask = TARGET > 25e-6
    read = array.read_conductances(xarray.DataArray(mask, dims=("row", "col")).T)
    assert np.array_equal(np.isfinite(read), mask)
    volts = xarray.DataArray(np.random.default_rng(0).uniform(0, 0.1, (5, 4)), dims=("n", "row"))
    array.read_mvm(volts.T)
    assert np.array_equal(array.journal.entries[-1].voltage, volts.values)
    pulses = Pulses.on(xarray.DataArray(mask, dims=("row", "col")).T, "SET", 1.0, 1.0, 1e-5)
    assert np.array_equal(pulses.mask, mask)
    report.to_xarray()["target"].transpose("col", "row")  # what the package gives, it takes back
    again = containers.floats(report.to_xarray()["target"].T, "target", ("row", "col"), "S")
    assert np.array_equal(again, TARGET)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.assign_coords(row=[3, 2, 1, 0]), "labels of 'row'"),
        (lambda a: a.assign_attrs(units="uS"), "units 'uS'"),
        (lambda a: a.expand_dims("a").expand_dims("b"), "dimensions"),
        (lambda a: a.rename(row="col", col="row"), "shape"),
    ],
)
def test_labels_and_units_are_not_passed_over(array: BenchTwin, change: Any, words: str) -> None:
    with pytest.raises(LimitError, match=words):
        array.program_conductances(change(xarray.DataArray(TARGET, dims=("row", "col"), attrs={"units": "S"})))
    frame = pandas.DataFrame(TARGET)
    with pytest.raises(LimitError, match="labels"):
        array.program_conductances(frame[[2, 1, 0]])
    with pytest.raises(LimitError, match="labels"):
        array.program_conductances(frame.iloc[::-1])


def test_masked_targets_say_how_to_select_cells(array: BenchTwin) -> None:
    with pytest.raises(LimitError, match=r"mask=.*filled"):
        array.program_conductances(np.ma.masked_less(TARGET, 25e-6))


def test_a_limit_in_the_callers_own_type_is_the_limit(array: BenchTwin) -> None:
    info = array.info
    array.read_mvm(np.full(4, 0.2, dtype=np.float32))
    array.read_mvm(np.full(4, -0.2, dtype=np.float32))
    array.read_mvm([np.float32(0.2)] * 4)
    array.read_mvm(torch.full((4,), 0.2))
    for entry in array.journal.entries:
        assert np.abs(entry.voltage).max() == 0.2, "driven above the limit"
    with pytest.raises(LimitError, match=r"0\.20000000[0-9]* V asked .* at most 0\.20* V"):
        array.read_mvm(np.full(4, float(np.float32(0.2))))  # a float64 knows better
    with pytest.raises(LimitError):
        array.read_mvm(np.full(4, np.nextafter(np.float32(0.2), np.float32(1)), dtype=np.float32))
    for end in (info.window.low, info.window.high):
        array.program_conductances(
            np.full(SHAPE, end, dtype=np.float32), np.zeros(SHAPE, dtype=bool) | (TARGET < 21e-6)
        )
    limits = info.limits.set
    array.lower_limits(
        info.limits.model_copy(
            update={
                "set": limits.model_copy(
                    update={"voltage_max": 1.7, "gate_max": 0.7, "width_min": 1e-6, "width_max": 1.1e-5}
                )
            }
        )
    )
    full = np.ones(SHAPE, dtype=bool)
    for width in (np.float32(1e-6), np.float32(1.1e-5)):
        array.apply_pulses(Pulses.on(full, "SET", np.float32(1.7), np.full(SHAPE, 0.7, dtype=np.float32), width))
        last = array.journal.entries[-1]
        assert (last.voltage.max(), last.gate.max()) == (1.7, 0.7)
        assert 1e-6 <= last.width <= 1.1e-5
    for volt, gate in ((float(np.float32(1.7)) + 1e-7, 0.7), (1.7, 0.70001)):
        with pytest.raises(LimitError, match="at most"):
            array.apply_pulses(Pulses.on(full, "SET", volt, gate, 1e-6))


@pytest.mark.parametrize(
    "width", [np.array(1e-6), np.array([1e-6]), "1e-6", None, True, 1e-6 + 0j, np.nan, np.inf, -1.0, 0]
)
def test_a_width_is_one_number(width: Any) -> None:
    with pytest.raises(LimitError, match="width"):
        Pulses.on(np.ones(SHAPE, dtype=bool), "SET", 1.0, 1.0, width)


@pytest.mark.parametrize("times", [1.5, 2.0, True, "3", None, np.array([2]), 0, -1])
def test_averages_are_a_whole_number(array: BenchTwin, times: Any) -> None:
    with pytest.raises(LimitError, match="averages"):
        array.read_conductances(averages=times)
    assert np.isfinite(array.read_conductances(averages=np.int64(2))).all()
