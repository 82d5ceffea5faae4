"""The physics of the digital twin against published sweeps and exact laws."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.errors import ConfigError
from imssa_lab.hal import PulseKind, Pulses
from twin import DigitalTwin, TwinProfile, open_twin, preset_names
from twin.cells import Cells
from twin.converter import Adc, Converters, adc_ranges
from twin.inputs import Inputs, dac_voltage

PROFILE = TwinProfile.load("supert-a0")


def typical_cell(profile: TwinProfile = PROFILE) -> Cells:
    """One cell without any spread."""
    bare = profile.model_copy(
        update={
            "set": profile.set.model_copy(update={"device_spread": 0.0, "slope_spread": 0.0, "cycle_spread": 0.0}),
            "reset": profile.reset.model_copy(
                update={"device_spread": 0.0, "floor_spread": 0.0, "cycle_spread": 0.0}
            ),
            "stuck": profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0}),
            "weak": None,
            "lines": None,
        }
    )
    return Cells(bare, (1, 1), np.random.default_rng(0), np.random.default_rng(1))


def sweep(start: float, kind: PulseKind, voltages: list[float], gate: float, width: float) -> np.ndarray:
    cell = typical_cell()
    cell.conductance = np.array([[start]])
    seen = []
    for voltage in voltages:
        cell.apply(Pulses.on(np.ones((1, 1), dtype=bool), kind, voltage, gate, width))
        seen.append(float(cell.conductance[0, 0]))
    return np.array(seen) * 1e6


def test_set_follows_the_published_sweep() -> None:
    """Gate 1.5 V, 1 ms, from 115 uS, A0_DUT @ b10f97f; the cells of one board differ by 20 % and more."""
    published = np.array([153, 266, 320, 351, 406, 421])
    got = sweep(115e-6, PulseKind.SET, [0.6, 0.7, 0.8, 0.9, 1.0, 1.3], 1.5, 1e-3)
    assert np.max(np.abs(got / published - 1)) < 0.3


def test_reset_follows_the_published_sweep() -> None:
    """Gate 5 V, 10 us, from 406 uS, A0_DUT @ b10f97f."""
    published = np.array([249, 143, 106, 82, 62, 51])
    got = sweep(406e-6, PulseKind.RESET, [0.8, 0.9, 1.0, 1.2, 1.3, 1.4], 5.0, 10e-6)
    assert np.max(np.abs(np.log(got / published))) < np.log(1.4)


def test_gate_limits_set_and_longer_pulses_reset_deeper() -> None:
    weak, strong = (sweep(2e-6, PulseKind.SET, [2.0], gate, 1e-6)[0] for gate in (0.5, 1.0))
    assert weak < 0.4 * strong
    short, long = (sweep(150e-6, PulseKind.RESET, [1.0], 5.0, width)[0] for width in (10e-6, 10e-3))
    assert long < 0.8 * short


def test_reset_needs_the_transistor_open() -> None:
    assert sweep(150e-6, PulseKind.RESET, [1.5], 1.0, 1e-3)[0] == pytest.approx(150.0)


def test_stuck_cells_do_not_move_and_are_as_many_as_asked() -> None:
    profile = PROFILE.model_copy(
        update={"stuck": PROFILE.stuck.model_copy(update={"on_fraction": 0.03, "off_fraction": 0.02})}
    )
    twin = DigitalTwin(profile, (200, 200), seed=1)
    assert twin.cells.stuck.mean() == pytest.approx(0.05, abs=0.005)
    before = twin.cells.conductance.copy()
    twin.apply_pulses(Pulses.on(np.ones((200, 200), dtype=bool), "SET", 3.0, 1.4, 1e-6))
    twin.apply_pulses(Pulses.on(np.ones((200, 200), dtype=bool), "RESET", 1.2, 5.0, 1e-3))
    still = twin.cells.conductance == before
    assert still[twin.cells.stuck].all()
    assert still[~twin.cells.stuck].mean() < 0.001


def test_dac_steps() -> None:
    inputs = Inputs(bits=8, full_scale=0.2)
    voltages = np.linspace(-0.2, 0.2, 1001)
    out = dac_voltage(voltages, inputs)
    assert len(np.unique(out)) == 255
    assert np.abs(out - voltages).max() <= 0.2 / 127 / 2 + 1e-15
    assert np.array_equal(dac_voltage(voltages, Inputs(full_scale=0.2)), voltages)


def test_adc_takes_the_smallest_range_and_saturates_beyond_the_last() -> None:
    adc = Adc(bits=10, full_scales=(1e-6, 1e-5, 1e-4))
    ranges = adc_ranges(adc)
    currents = np.array([[0.9e-6, -1.1e-6, 5e-5, 3e-4, -3e-4]])
    readout = Converters(adc, 5, np.random.default_rng(0)).convert(currents)
    assert readout.ranges is not None
    assert readout.ranges.tolist() == [[0, 1, 2, 2, 2]]
    (current,) = readout.current(ranges)
    assert current[:3] == pytest.approx([0.9e-6, -1.1e-6, 5e-5], rel=0.02)
    assert current[3:] == pytest.approx([1e-4, -1e-4])


def test_column_gains_show_in_products_but_not_in_cell_reads() -> None:
    twin = DigitalTwin("supert-a0", (32, 16), seed=2)
    twin.cells.conductance = np.full((32, 16), 50e-6)
    got = twin.read_mvm(np.full((200, 32), 0.2)).mean(axis=0) / (32 * 0.2 * 50e-6)
    assert got == pytest.approx(twin.columns.gain, abs=0.02)
    assert twin.read_conductances(averages=64).mean() == pytest.approx(50e-6, rel=0.02)


def test_same_seed_same_bits_and_reads_do_not_disturb_pulses() -> None:
    first, second, other = (DigitalTwin("supert-a0", (8, 8), seed=seed) for seed in (3, 3, 4))
    pulses = Pulses.on(np.ones((8, 8), dtype=bool), "SET", 2.0, 0.8, 1e-6)
    first.read_conductances(averages=7)
    for twin in (first, second, other):
        twin.apply_pulses(pulses)
    assert np.array_equal(first.cells.conductance, second.cells.conductance)
    assert not np.array_equal(first.cells.conductance, other.cells.conductance)


def test_ideal_twin_computes_the_exact_product() -> None:
    twin = DigitalTwin("ideal", (64, 64), seed=0)
    target = np.random.default_rng(0).uniform(2e-6, 150e-6, (64, 64))
    report = twin.program_conductances(target)
    voltages = np.random.default_rng(1).uniform(-0.2, 0.2, (10, 64))
    assert report.within(1e-12) == 1.0
    assert twin.read_mvm(voltages) == pytest.approx(voltages @ target, rel=1e-12)


class TestProfiles:
    def test_presets_load(self) -> None:
        assert {"ideal", "supert-a0"} <= set(preset_names())
        for name in preset_names():
            assert TwinProfile.load(name).source

    def test_unknown_key_names_the_nearest(self, tmp_path: Path) -> None:
        text = (files("twin") / "presets" / "supert-a0.toml").read_text()
        path = tmp_path / "mine.toml"
        path.write_text(text.replace("sd_median", "sd_medain"))
        with pytest.raises(ConfigError, match=r"unknown key 'read_noise.sd_medain'; did you mean 'sd_median'"):
            TwinProfile.load(path)

    def test_unknown_preset_lists_those_there_are(self) -> None:
        with pytest.raises(ConfigError, match="supert-a0"):
            TwinProfile.load("supert")

    def test_not_toml(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("name = ")
        with pytest.raises(ConfigError, match="not TOML"):
            TwinProfile.load(path)

    @pytest.mark.parametrize(("key", "value"), [("sed", "1"), ("seed", "one"), ("shape", "64"), ("seed", "-1")])
    def test_bad_options(self, key: str, value: str) -> None:
        with pytest.raises(ConfigError, match="seed"):
            open_twin("ideal", {key: value})
