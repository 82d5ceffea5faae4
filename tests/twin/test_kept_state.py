"""A twin that is kept in a file is the same chip in the next session, to the last bit; another is refused by name."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, ImssaError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.contract.operating_system import LOCKS
from imssa_lab.station.addresses import open_array
from imssa_lab.virtual.supert_a0.board_twin import BoardTwin
from twin import DigitalTwin, TwinProfile, kept_state

SHAPE = (9, 12)


def everything() -> TwinProfile:
    """All that lasts: relaxation, 1/f and telegraph noise, sagging reads, wires, cells that break and are formed."""
    tables = TwinProfile.load("supert-a0").model_dump()
    noise = tables["read_noise"] | {
        "telegraph": {"fraction": 0.3, "depth": 0.1, "spread": 0.3, "exponent": 0.5}
        | {"capture": (1e-3, 1.0), "emission": (1e-3, 1.0)}
    }
    creep = {"voltage": 0.15, "time": 1e-2, "v_per_decade": 0.1, "spread": 0.5}
    more = {
        "read_noise": noise,
        "wires": {"r_word": 1.0, "r_bit": 1.0},
        "line_drop": {"through": 60.0},
        "endurance": {"cycles": 30.0, "voltage": 1.6, "v_per_decade": 0.3, "middle": 30e-6, "spread": 0.5},
        "half_selected": {"same_word": 0.1, "same_bit": 0.0, "set": creep, "reset": creep},
        "read_rate": {"drain": 0.01, "recovery": 0.1},
        "forming": {"voltage": 2.0, "spread": 0.1, "formed_fraction": 0.7, "pristine": 1e-7},
        "overdrive": {"voltage": 1.6, "probability": 0.02, "v_per_decade": 0.5, "conductance": 3e-6},
    }
    relaxation = TwinProfile.load("wan-2022").model_dump()["relaxation"]
    more["temperature"] = {"reference": 300.0, "chip": 310.0, "relaxation_ev": 0.9, "conduction_ev": 0.05}
    forgets = relaxation | {"correlation": [0.7] * (len(relaxation["times"]) - 1)}
    return TwinProfile.model_validate(tables | more | {"relaxation": forgets})


@pytest.fixture(scope="module")
def profile() -> TwinProfile:
    return everything()


def session(twin: DigitalTwin, number: int) -> Iterator[Any]:
    """Half an hour with a chip: single cells and whole arrays pulsed, reads of all kinds, pauses short and long."""
    rng = np.random.default_rng(number)
    for share, pause in ((0.5, 2.0), (0.02, 900.0), (0.02, 0.0)):
        for kind, volt in ((PulseKind.SET, 1.5), (PulseKind.RESET, 1.6)):
            mask = rng.random(SHAPE) < share
            mask[0, number] = True
            voltage, gate = (np.where(mask, value, np.nan) for value in (volt, 1.2 if volt < 1.6 else 4.0))
            twin.apply_pulses(Pulses(kind, voltage, gate, 1e-6))
            twin.cells.apply(Pulses(PulseKind.FORM, np.where(mask, 2.0, np.nan), gate, 1e-6))
            yield twin.read_conductances(averages=2)
        yield twin.read_mvm(rng.uniform(0, 0.1, (5, SHAPE[0])))
        twin.wait(pause)
        yield twin.read_mvm(np.full(SHAPE[0], 0.05))
    report = twin.program_conductances(rng.uniform(20e-6, 40e-6, SHAPE), rng.random(SHAPE) < 0.1)
    yield report.achieved
    yield twin.time


@pytest.mark.parametrize("preset", ["", "wan-2022"])  # pulses; programming by statistics
def test_one_long_session_is_two_with_the_state_kept_between(
    profile: TwinProfile, preset: str, tmp_path: Path
) -> None:
    profile = TwinProfile.load(preset) if preset else profile
    with DigitalTwin(profile, SHAPE, seed=3) as twin:
        expected = [*session(twin, 0), *session(twin, 1)]
    found = []
    for number in range(2):
        with DigitalTwin(profile, SHAPE, seed=3, state=tmp_path / "chip.h5") as twin:
            found += session(twin, number)
    assert len(found) == len(expected)
    assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(found, expected, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["chip.h5"]


def test_without_the_state_it_is_another_chip(profile: TwinProfile, tmp_path: Path) -> None:
    """Null control of the test above."""
    with DigitalTwin(profile, SHAPE, seed=3) as twin:
        list(session(twin, 0))
        expected = next(session(twin, 1))
    with DigitalTwin(profile, SHAPE, seed=3) as twin:
        assert not np.array_equal(next(session(twin, 1)), expected)


def numbers(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every array, number and random stream that hangs on an object of the twin, with where it hangs."""
    if isinstance(value, np.random.Generator):
        yield place, json.dumps(value.bit_generator.state, default=lambda array: array.tolist())
    elif isinstance(value, np.ndarray | bool | int | float):
        yield place, np.array(value)
    elif isinstance(value, tuple) and not place.endswith(("_tables", "_digits", "_quiet", "_memory")):
        for index, each in enumerate(value):
            yield from numbers(each, f"{place}.{index}")
    elif type(value).__module__.startswith("twin.") and not isinstance(value, TwinProfile):
        for name, each in vars(value).items():
            yield from numbers(each, f"{place}.{name}")


MADE_WHEN_NEEDED = (
    "_compiled",
    "_product",
    "_state",
    "followed",
    "_variance_on_grid",
    "_view",
    "_wired._conductance",
)
"""Tables that are computed from the rest at the next read."""


def test_nothing_that_a_session_changes_is_forgotten(profile: TwinProfile, tmp_path: Path) -> None:
    """Whoever adds a number that changes in the life of a chip names it in KEPT, or this fails."""
    with DigitalTwin(profile, SHAPE, seed=3, state=tmp_path / "chip.h5") as twin:
        fresh = dict(numbers(twin))
        list(session(twin, 0))
        left = dict(numbers(twin))
    changed = {name for name, value in left.items() if not np.array_equal(value, fresh.get(name), equal_nan=False)}
    assert {name.rpartition(".")[2] for name in changed} >= {
        "conductance",
        "_clock",
        "_z",
        "level",
        "_cycles",
        "_lost",
    }
    with DigitalTwin(profile, SHAPE, seed=3, state=tmp_path / "chip.h5") as twin:
        found = dict(numbers(twin))
    for name, value in left.items():
        if not any(part in name for part in MADE_WHEN_NEEDED):
            same = (
                value == found[name] if isinstance(value, str) else np.array_equal(value, found[name], equal_nan=True)
            )
            assert same, name


def test_chips_without_a_section_have_nothing_of_it_in_their_file(profile: TwinProfile, tmp_path: Path) -> None:
    """So files that were written before there was such a section are read."""
    names: dict[str, set[str]] = {}
    for kind in ("all", "supert-a0"):
        with DigitalTwin(profile if kind == "all" else kind, SHAPE, 3, tmp_path / f"{kind}.h5") as twin:
            twin.wait(1.0)
        with h5py.File(tmp_path / f"{kind}.h5") as file:
            names[kind] = {*file["state"], *file["state/cells"], *file["devices/cells"]}
    assert names["all"] - names["supert-a0"] >= {"warmth", "wear", "beside", "creep_score", "life_score"}


def test_a_board_twin_is_kept_as_well(tmp_path: Path) -> None:
    from imssa_lab.virtual.electrode_journal import Journal
    from imssa_lab.virtual.virtual_supert_a0 import board_profile

    board = board_profile("supert-a0-easy")
    with BoardTwin(board, 2, Journal(), tmp_path / "chip.h5") as twin:
        twin.pulse(PulseKind.SET, np.full((64, 64), 1.5), np.full((64, 64), 1.2), 1e-6)
        left = twin.cells.conductance
    with BoardTwin(board, 2, Journal(), tmp_path / "chip.h5") as twin:
        assert np.array_equal(twin.cells.conductance, left)


def test_an_address_takes_seed_and_shape_from_the_file_and_rests(tmp_path: Path) -> None:
    state = tmp_path / "chip.h5"
    with open_array(f"twin:wan-2022?seed=5&shape=6x4&state={state}") as array:
        array.program_conductances(np.full((6, 4), 20e-6))
        evening, clock = array.read_conductances(averages=20), array.time
    with open_array(f"twin:wan-2022?state={state}") as array:
        assert array.info.serial == "seed 5"
        assert array.info.shape == (6, 4)
        assert array.time == clock
    with open_array(f"twin:wan-2022?state={state}&rest=28800") as array:
        assert array.time == clock + 28800
        morning = array.read_conductances(averages=20)
    moved = np.abs(morning - evening) > 4e-6
    assert 0 < np.count_nonzero(moved) < moved.size
    with open_array(f"twin:wan-2022?state={state}&rest=0") as array:
        assert array.time > clock + 28800


def test_a_session_in_which_nothing_happens_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "chip.h5"
    open_array(f"twin:ideal?shape=4x4&state={state}").close()
    assert not state.exists()
    with open_array(f"twin:ideal?shape=4x4&state={state}") as array:
        array.wait(1.0)
    before = state.read_bytes()
    open_array(f"twin:ideal?state={state}&rest=3600").close()
    assert state.read_bytes() == before


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("twin:ideal?state={state}&seed=2", "state of a chip with seed 1, opened is one with seed 2; open it with"),
        ("twin:ideal?state={state}&shape=4x5", "shape 4x4, opened is one with shape 4x5"),
        (
            "twin:supert-a0-easy?state={state}",
            r"profile 'ideal', opened is 'supert-a0-easy' \(fresh.spread is 0.0 there, 0.3 here; .* and \d+ more\)",
        ),
        ("twin:ideal?rest=5", "only a chip with a kept state can rest; give state=FILE"),
        ("twin:ideal?state={state}&rest=-1", "rest must be a finite time of 0 s or more"),
        ("twin:ideal?state={state}&stat=1", "a twin takes seed, shape, state and rest"),
        ("twin:ideal?shape=4x4&state={folder}/missing/chip.h5", "cannot be locked"),
    ],
)
def test_another_chip_is_refused_by_name(address: str, words: str, tmp_path: Path) -> None:
    state = tmp_path / "chip.h5"
    with open_array(f"twin:ideal?seed=1&shape=4x4&state={state}") as array:
        array.wait(1.0)
    before = state.read_bytes()
    with pytest.raises(ConfigError, match=words):
        open_array(address.format(state=state, folder=tmp_path))
    assert state.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["chip.h5"]  # the lock is let go


def test_another_version_s_chip_of_the_same_seed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DigitalTwin("supert-a0-easy", (4, 4), 1, tmp_path / "chip.h5") as twin:
        twin.wait(1.0)
    with monkeypatch.context() as patch:
        seeds = np.random.SeedSequence
        patch.setattr(np.random, "SeedSequence", lambda seed, **more: seeds(seed + 1, **more))
        with pytest.raises(ConfigError, match="makes another chip of seed 1"):
            DigitalTwin("supert-a0-easy", (4, 4), 1, tmp_path / "chip.h5")
    DigitalTwin("supert-a0-easy", (4, 4), 1, tmp_path / "chip.h5").close()


def test_damage_is_named(tmp_path: Path) -> None:
    state = tmp_path / "chip.h5"
    with DigitalTwin("ideal", (4, 4), 1, state) as twin:
        twin.wait(1.0)
    whole = state.read_bytes()
    with h5py.File(state, "r+") as file:
        file["state/cells/conductance"][2, 2] *= 1.0000001
    with pytest.raises(ConfigError, match=r"this state of a twin is damaged .its checksum is another"):
        DigitalTwin("ideal", (4, 4), 1, state)
    state.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="this state of a twin is damaged"):
        open_array(f"twin:ideal?state={state}")
    with h5py.File(state, "w") as file:
        file.attrs["format"] = "something else"
    with pytest.raises(ConfigError, match="is not the state of a twin"):
        open_array(f"twin:ideal?state={state}")
    with h5py.File(state, "w") as file:
        file.attrs.update({"format": kept_state.FORMAT, "version": 9})
    with pytest.raises(ConfigError, match="state of version 9, this imssa_lab reads 1"):
        open_array(f"twin:ideal?state={state}")


def test_a_state_that_cannot_be_written_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "chip.h5"
    with DigitalTwin("ideal", (4, 4), 1, state) as twin:
        twin.wait(1.0)
    before = state.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    second = DigitalTwin("ideal", (4, 4), 1, state)
    second.wait(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match=r"No space left.*kept there as it was"):
            second.close()
    assert state.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["chip.h5"]


_HOLDS = """
import sys, time
from imssa_lab.station.addresses import open_array
array = open_array(sys.argv[1])
array.wait(10.0)
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not LOCKS, reason="this system has no locks of files; the number of the process stands for one")
def test_one_session_at_a_time_and_a_kill_costs_that_session_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "chip.h5"
    address = f"twin:ideal?shape=4x4&state={state}"
    with open_array(address) as array:
        array.wait(1.0)
    before = state.read_bytes()
    with subprocess.Popen([sys.executable, "-c", _HOLDS, address], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match=rf"another session has this chip open \(process {other.pid}\)"):
            open_array(address)
        other.send_signal(signal.SIGKILL)
    assert state.read_bytes() == before
    with caplog.at_level(logging.WARNING), open_array(address) as array:
        assert array.time == 1.0
        with pytest.raises(ImssaError, match="another session"):  # of this process, too
            open_array(address)
    assert f"process {other.pid}) ended without closing the twin" in caplog.text
