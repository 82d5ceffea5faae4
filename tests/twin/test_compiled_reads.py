"""Compiled reads against numpy: the same bits on profiles made of any sections, and nothing that they do not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract import jit
from imssa_lab.contract.closed_loop import ClosedLoop, LoopBank
from imssa_lab.contract.hal import ColumnCalibration, CrossbarArray
from protocols.recurrence import step_by_step
from twin import DigitalTwin, TwinProfile, preset_names
from twin.cells import Nonlinearity
from twin.fast.chip_reads import CLAIMS
from twin.fast.coverage import not_covered
from twin.noise import Electronic, Flicker, ReadNoise, Telegraph
from twin.periphery.columns import Columns, ReadRate
from twin.periphery.converter import Adc
from twin.periphery.inputs import Inputs
from twin.profile import Timing
from twin.wires.wire_resistance import Wires

pytestmark = pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")
SHAPE = (12, 10)


def any_profile(rng: np.random.Generator) -> TwinProfile:
    """A profile of sections drawn at random; each is there or not."""

    def maybe(section: Any) -> Any:
        return section if rng.random() < 0.5 else None

    noise = ReadNoise(
        reference=50e-6,
        sd_median=float(rng.choice([0.0, 1e-6])),
        sd_spread=0.5,
        exponent=0.5,
        flicker=maybe(Flicker(sd=0.2e-6, spread=0.3, exponent=0.5, fastest=1e-6, resolved=1.0, slowest=1e4)),
        telegraph=maybe(
            Telegraph(fraction=0.3, depth=0.3, spread=0.5, exponent=0.5, capture=(1e-2, 1.0), emission=(1e-2, 1.0))
        ),
        electronic=maybe(Electronic(temperature=300.0, bandwidth=1e9)),
    )
    coding = str(rng.choice(["analog", "bit-serial", "unary"]))
    bits = int(rng.integers(2, 6)) if coding == "unary" else int(rng.integers(2, 10))
    inputs = Inputs(
        coding=coding,  # type: ignore[arg-type]
        bits=None if coding == "analog" and rng.random() < 0.3 else bits,
        full_scale=0.2,
        signed=bool(rng.random() < 0.5),
    )
    adc = Adc(
        bits=int(rng.integers(6, 13)),
        full_scales=(10e-6, 60e-6, 400e-6)[: int(rng.integers(1, 4))],
        signed=bool(rng.random() < 0.5),
        headroom=float(rng.uniform(0.7, 1.0)),
        missing=((0.2, 8), (0.7, 2), (1.0, 5)) if rng.random() < 0.5 else (),
        inl=float(rng.choice([0.0, 0.01])),
        gain_spread=float(rng.choice([0.0, 0.02])),
        offset_spread=float(rng.choice([0.0, 0.02])),
        converters=maybe(3),
    )
    return TwinProfile.load("ideal").model_copy(
        update={
            "read_noise": noise,
            "inputs": inputs,
            "adc": adc if rng.random() < 0.8 else None,
            "columns": Columns(gain=0.9, gain_spread=0.1, offset_spread=0.2e-6),
            "read_rate": maybe(ReadRate(drain=0.05, recovery=1e-3)),
            "wires": maybe(Wires(r_word=2.0, r_bit=1.0, r_in=20.0)),
            "nonlinearity": Nonlinearity(cubic=0.5, reference=50e-6) if rng.random() < 0.2 else None,
            "timing": Timing(mvm=float(rng.choice([1e-4, 1e-3, 5.0])), cell_read=1e-4, pulse=1e-4),
        }
    )


def pair(profile: TwinProfile, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> tuple[DigitalTwin, DigitalTwin]:
    """One chip twice: read by compiled loops, and by numpy."""
    compiled = DigitalTwin(profile, SHAPE, seed)
    with monkeypatch.context() as without:
        without.setattr(jit, "AVAILABLE", False)
        plain = DigitalTwin(profile, SHAPE, seed)
    assert compiled._compiled is not None
    assert plain._compiled is None
    for twin in (compiled, plain):
        twin.cells.conductance = np.random.default_rng(seed).uniform(2e-6, 150e-6, SHAPE)
    return compiled, plain


def loop(rng: np.random.Generator) -> ClosedLoop:
    """Two banks of two kernels with one state each."""
    banks = []
    for bank in range(2):
        lines = np.arange(4).reshape(2, 2)
        banks.append(
            LoopBank(
                rows=rng.permutation(SHAPE[0])[:4].reshape(2, 2),
                plus=2 * lines[:, ::-1],
                drive=0.2 * rng.choice([-1.0, 1.0], (2, 2)),
                per_ampere=rng.uniform(1e3, 2e4, (2, 2)),
                input_scale=np.array([1.0, 1.3]),
                keep=np.array([1.0, float(bank)]),
            )
        )
    return ClosedLoop(banks, np.array([-1e-3, 1e-3]))


@pytest.mark.parametrize("number", range(50))
def test_same_bits_as_numpy_on_any_sections(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng([19, number])
    profile = any_profile(rng)
    fast, slow = pair(profile, monkeypatch)
    volts = rng.uniform(-0.2 if profile.inputs.signed else 0.0, 0.2, (24, SHAPE[0]))
    for twin in (fast, slow):
        twin.set_calibration(ColumnCalibration(np.full(SHAPE[1], 1.1), np.full(SHAPE[1], 1e-8), np.zeros(SHAPE[1])))
    for _ in range(2):
        pieces = np.concatenate([fast.read_mvm(piece) for piece in np.split(volts, [1, 2, 9])])
        assert pieces.tobytes() == slow.read_mvm(volts).tobytes()
        mask = rng.random(SHAPE) < 0.5
        assert np.array_equal(fast.read_conductances(mask, 3), slow.read_conductances(mask, 3), equal_nan=True)
        given, inputs = loop(rng), rng.uniform(-1, 1, (2, 7, 4))
        outputs = [one_by_one(twin, given, inputs) for twin in (slow,)]
        run = fast.read_loop(given, inputs, given.rest(2))
        got = one_by_one(fast, given, inputs) if run is None else run.outputs
        assert got.tobytes() == outputs[0].tobytes()
        assert fast.time == slow.time
        for twin in (fast, slow):
            twin.cells.conductance = twin.cells.conductance * 1.1
            twin.wait(0.3)


@pytest.mark.parametrize("lasts", [True, False])
def test_a_loop_of_many_sequences_has_the_bits_of_numpy(lasts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many that sums go through the library's matrix product, over lines with resistance."""
    rng = np.random.default_rng(0)
    everything = any_profile(rng)
    noise = {} if lasts else {"flicker": None, "telegraph": None}
    profile = everything.model_copy(
        update={
            "read_noise": everything.read_noise.model_copy(update=noise),
            "inputs": Inputs(coding="analog", bits=8, full_scale=0.2),
            "wires": Wires(r_word=2.0, r_bit=1.0, r_in=20.0),
            "nonlinearity": None,
            "timing": Timing(mvm=1e-3, cell_read=1e-4, pulse=1e-4),
        }
    )
    fast, slow = pair(profile, monkeypatch)
    assert bool(fast.noise.cell.size) == lasts
    given, inputs = loop(rng), rng.uniform(-1, 1, (30, 5, 4))
    run = fast.read_loop(given, inputs, given.rest(30))
    assert run is not None
    assert run.outputs.tobytes() == one_by_one(slow, given, inputs).tobytes()


def one_by_one(array: CrossbarArray, given: ClosedLoop, inputs: np.ndarray) -> np.ndarray:
    return step_by_step(array, given, inputs, given.rest(len(inputs)))[0]


def test_every_preset_is_covered() -> None:
    for name in preset_names():
        assert not_covered(TwinProfile.load(name), CLAIMS) is None


class Humming(ReadNoise):
    """A section with a hum of the mains, which no compiled read knows."""

    hum: float = 0.0


class Dimmed(Columns):
    """A law of its own without a new field."""


def test_a_planted_section_is_refused_and_named_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.fast.chip_reads._said", set())
    everything = any_profile(np.random.default_rng(0))
    noise = Humming(**everything.read_noise.model_dump(), hum=1e-6)
    columns = Dimmed(**everything.columns.model_dump())
    for changes, part in (({"read_noise": noise}, "profile.read_noise"), ({"columns": columns}, "profile.columns")):
        planted = everything.model_copy(update=changes)
        assert not_covered(planted, CLAIMS) == part
        caplog.clear()
        for _ in range(2):
            assert DigitalTwin(planted, SHAPE)._compiled is None
        assert [part in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
    assert DigitalTwin(everything, SHAPE)._compiled is not None
    assert not caplog.records


ABSURD: dict[str, Callable[[TwinProfile], dict[str, Any]]] = {
    "white": lambda p: {"read_noise": p.read_noise.model_copy(update={"sd_median": 20e-6})},
    "1/f": lambda p: {
        "read_noise": p.read_noise.model_copy(
            update={"flicker": Flicker(sd=9e-6, spread=0, exponent=0.5, fastest=1.0, resolved=1.0, slowest=1e4)}
        )
    },
    "telegraph": lambda p: {
        "read_noise": p.read_noise.model_copy(
            update={
                "telegraph": Telegraph(
                    fraction=1.0, depth=2.0, spread=0, exponent=0, capture=(1e-2, 1.0), emission=(1e-2, 1.0)
                )
            }
        )
    },
    "electronic": lambda p: {
        "read_noise": p.read_noise.model_copy(update={"electronic": Electronic(temperature=300.0, bandwidth=1e14)})
    },
    "columns": lambda p: {"columns": Columns(gain=0.5, gain_spread=0.0, offset_spread=0.0)},
    "read rate": lambda p: {"read_rate": ReadRate(drain=0.5, recovery=1e3)},
    "wires": lambda p: {"wires": Wires(r_word=500.0, r_bit=500.0)},
    "nonlinearity": lambda p: {"nonlinearity": Nonlinearity(cubic=50.0, reference=50e-6)},
    "converter gain": lambda p: {"adc": p.adc.model_copy(update={"gain_spread": 0.5}) if p.adc else None},
    "bow": lambda p: {"adc": p.adc.model_copy(update={"inl": 0.1}) if p.adc else None},
    "missing codes": lambda p: {"adc": p.adc.model_copy(update={"missing": ((1.0, 300),)}) if p.adc else None},
}


@pytest.mark.parametrize("law", ABSURD)
def test_a_law_made_absurd_moves_compiled_reads(law: str) -> None:
    board = TwinProfile.load("supert-a0")
    calm = board.model_copy(
        update={
            "read_noise": board.read_noise.model_copy(update={"flicker": None, "telegraph": None, "sd_median": 0.0}),
            "columns": Columns(gain=1.0, gain_spread=0.0, offset_spread=0.0),
            "read_rate": None,
        }
    )
    volts = np.random.default_rng(0).uniform(0.0, 0.2, (20, SHAPE[0]))
    outputs = []
    for profile in (calm, calm.model_copy(update=ABSURD[law](calm))):
        twin = DigitalTwin(profile, SHAPE, 1)
        twin.cells.conductance = np.random.default_rng(1).uniform(20e-6, 150e-6, SHAPE)
        assert twin._compiled is not None
        outputs.append(twin.read_mvm(volts))
    size = np.abs(outputs[0]).mean()
    assert np.abs(outputs[1] - outputs[0]).mean() > 0.03 * size
