"""What was checked is what is sent: no frozen value shares its arrays with whoever made it."""

import ast
import importlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imssa_lab.bridges.aihwkit_csv import AnalogLayer
from imssa_lab.contract.array_types import ColumnCalibration, Pulses, Readout
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays, frozen, own
from imssa_lab.contract.errors import LimitError
from imssa_lab.log import open_run, record
from imssa_lab.log.care.verify import verify
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.imports.s4d_arrays import S4DArrays, S4DLayerArrays
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.tasks.task import Task
from imssa_lab.virtual.bench_twin import BenchTwin
from protocols.corrections.correction import LayerCorrection
from protocols.deployment.sequences import Sequences
from tests.conftest import untrained_bundle
from twin import DigitalTwin

ROOT = Path(__file__).parents[2]
ARRAYS = ("FloatArray", "BoolArray", "IntArray", "NDArray")


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """(module, class) of our packages, wherever they stand."""
    for package in ("imssa_lab", "drivers", "protocols", "twin"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    yield ".".join(path.relative_to(ROOT).with_suffix("").parts), node


CLASSES = list(classes())


def is_frozen(node: ast.ClassDef) -> bool:
    decorators = [ast.unparse(each) for each in node.decorator_list]
    return any("dataclass" in each and "frozen=True" in each for each in decorators)


def frozen_dataclasses() -> Iterator[tuple[str, str]]:
    """(module, class) of every frozen dataclass whose fields name an array type."""
    for module, node in CLASSES:
        hints = [ast.unparse(each.annotation) for each in node.body if isinstance(each, ast.AnnAssign)]
        hints = [hint for hint in hints if not hint.startswith("Callable")]  # a function keeps no array
        if is_frozen(node) and any(kind in hint for hint in hints for kind in ARRAYS):
            yield module, node.name


def s4d_arrays() -> S4DArrays:
    """Two channels of one state, one input, two classes."""
    one, two = np.ones((2, 1)), np.ones(2)
    layer = S4DLayerArrays(-two, one, one, one + 1j, two, np.ones((4, 2)), np.ones(4), two, two)
    return S4DArrays((layer,), one, two, np.ones((2, 2)), two)


FOUND = sorted(frozen_dataclasses())
MADE: dict[type, Callable[[], Any]] = {
    Readout: lambda: Readout(np.ones(3), np.zeros(3, dtype=np.uint8)),
    Pulses: lambda: Pulses("SET", np.ones((2, 2)), np.ones((2, 2)), 1e-6),  # type: ignore[arg-type]
    ColumnCalibration: lambda: ColumnCalibration(np.ones(3), np.zeros(3), np.zeros(3)),
    AnalogLayer: lambda: AnalogLayer("fc", 1, "AnalogLinear", np.ones((2, 3))),
    LayerCorrection: lambda: LayerCorrection(np.eye(3), np.zeros(3)),
    LayerKernels: lambda: untrained_bundle().layers[0],
    KernelBundle: untrained_bundle,
    S4DLayerArrays: lambda: s4d_arrays().layers[0],
    S4DArrays: lambda: s4d_arrays(),
    Sequences: lambda: Sequences(np.ones((2, 3, 4)), np.ones((2, 3, 4)), np.zeros(2, dtype=np.int64)),
    Task: lambda: Task(
        "none", *[(np.ones((2, 3, 4)), np.zeros(2, dtype=int))] * 3, ("a",), "", "", test_units=np.ones((2, 1))
    ),  # type: ignore[arg-type]
}
"""Values of the classes that check more than that their arrays are their own."""


def arrays_in(value: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        return [array for part in value.values() for array in arrays_in(part)]
    return [array for part in value for array in arrays_in(part)] if isinstance(value, list | tuple) else []


def test_there_are_such_values() -> None:
    assert len(FOUND) >= 35
    assert ("imssa_lab.contract.array_types", "Pulses") in FOUND


def test_what_keeps_its_own_arrays_also_keeps_its_names() -> None:
    kept = [node for _, node in CLASSES if "FrozenArrays" in map(ast.unparse, node.bases)]
    assert len(kept) >= 35
    assert [node.name for node in kept if not is_frozen(node)] == []


@pytest.mark.parametrize(("module", "name"), FOUND, ids=[name for _, name in FOUND])
def test_a_frozen_value_keeps_its_own_arrays(module: str, name: str) -> None:
    kind = getattr(importlib.import_module(module), name)
    if kind in MADE:
        example = MADE[kind]()
        buffers = {
            each.name: np.array(getattr(example, each.name))
            for each in fields(kind)
            if each.init and isinstance(getattr(example, each.name), np.ndarray)
        }
        value = replace(example, **buffers)
    else:
        assert kind.__post_init__ is FrozenArrays.__post_init__, "give an example in MADE"
        buffers = {each.name: np.ones((2, 2)) for each in fields(kind) if any(a in str(each.type) for a in ARRAYS)}
        value = object.__new__(kind)
        for key, buffer in buffers.items():
            holder = [buffer] if "list" in str(next(f.type for f in fields(kind) if f.name == key)) else buffer
            object.__setattr__(value, key, holder)
        value.__post_init__()
    assert buffers
    before = {key: [array.copy() for array in arrays_in(getattr(value, key))] for key in buffers}
    for buffer in buffers.values():
        buffer[...] = 7 if buffer.dtype.kind != "b" else ~buffer
    for key, copies in before.items():
        for array, copy in zip(arrays_in(getattr(value, key)), copies, strict=True):
            assert np.array_equal(array, copy, equal_nan=array.dtype.kind == "f"), f"{key} is still the caller's"
            with pytest.raises(ValueError, match="read-only"):
                array[...] = copy


def test_own_copies_what_anybody_can_write_and_nothing_else() -> None:
    made = frozen(np.zeros(4))
    assert own(made) is made
    assert own(np.frombuffer(b"\0" * 8)).base is not None  # bytes stay what they are
    writable = np.zeros((2, 4))
    view = writable[0]
    view.flags.writeable = False  # the array below is open still
    kept = own(view)
    writable[...] = 1.0
    assert not kept.any()


def test_a_list_of_pulses_from_one_buffer_pulses_every_cell_once(tmp_path: Path) -> None:
    bench = BenchTwin("supert-a0-easy", (4, 4), seed=3)
    voltage, gate, to_do = np.full((4, 4), np.nan), np.full((4, 4), np.nan), []
    for cell in range(3):
        voltage[:], gate[:] = np.nan, np.nan
        voltage[cell, cell], gate[cell, cell] = 1.5 + 0.1 * cell, 0.7
        to_do.append(Pulses("SET", voltage, gate, 1e-5))  # type: ignore[arg-type]
    with record(tmp_path / "run.h5", [bench], {}) as (array,), array:
        for pulses in to_do:
            array.apply_pulses(pulses)
    seen = [np.argwhere(~np.isnan(entry.voltage)).tolist() for entry in bench.journal.entries if entry.what == "SET"]
    assert seen == [[[0, 0]], [[1, 1]], [[2, 2]]]
    with open_run(tmp_path / "run.h5") as run:
        assert [run.pulses(row).voltage[row, row] for row in range(3)] == [1.5, 1.6, 1.7]
    assert verify(tmp_path / "run.h5").good


class Raced(BenchTwin):
    """Between check and wire, a second thread writes the array that the caller handed over."""

    handed: Any = None

    def _call(self) -> Any:
        if self.handed is not None:
            writer = threading.Thread(target=self.handed.fill, args=(0.9,))
            writer.start()
            writer.join()
        return super()._call()


@pytest.mark.parametrize("shape", [(8,), (3, 8)])
def test_voltages_are_copied_before_they_are_checked(shape: tuple[int, ...]) -> None:
    array = Raced("supert-a0-easy", (8, 8), seed=3)
    array.handed = np.full(shape, 0.1)
    array.read_mvm(array.handed)
    assert array.handed.max() == 0.9
    assert array.journal.peak("mvm")[0] == 0.1


def test_a_pulse_of_the_wrong_sign_is_refused_even_when_its_check_was_got_round() -> None:
    array = DigitalTwin("supert-a0-easy", (2, 2))
    pulses = Pulses("SET", np.ones((2, 2)), np.ones((2, 2)), 1e-5)  # type: ignore[arg-type]
    object.__setattr__(pulses, "voltage", np.full((2, 2), -9.0))
    with pytest.raises(LimitError, match="-9 V asked"):
        array.apply_pulses(pulses)


def test_what_a_read_gives_is_the_callers_to_change() -> None:
    with DigitalTwin("supert-a0-easy", (4, 4)) as array:
        for values in (array.read_mvm(np.zeros(4)), array.read_mvm(np.zeros((2, 4))), array.read_conductances()):
            values *= 2.0
