"""The device for CrossSim, executed beside stand-ins for the two modules that it imports: the laws of the twin."""

import sys
from functools import lru_cache
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from imssa_lab.bridges.crosssim_device import device_source
from imssa_lab.contract.errors import ConfigError
from twin import TwinProfile

COUNT = 20_000
PRESETS = ["hfox-cmo", "wan-2022", "milo-2021", "pcm-joshi"]


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        if path not in sys.modules:
            monkeypatch.setitem(sys.modules, path, ModuleType(path))
    for key, value in members.items():
        monkeypatch.setattr(sys.modules[name], key, value, raising=False)


@lru_cache
def code_of(profile: str) -> CodeType:
    return compile(device_source(TwinProfile.model_validate_json(profile)), "written.py", "exec")


def device(profile: TwinProfile, monkeypatch: pytest.MonkeyPatch, r_min: float | None = None) -> Any:
    """An object of the written class, for the whole window without other word; numpy as CrossSim's backend."""

    class EmptyDevice:
        def __init__(self, device_params: Any, weight_error_params: Any) -> None:
            self.device_params = device_params

        def programming_error(self, input_: Any) -> Any:
            raise NotImplementedError

        drift_error = read_noise = programming_error

    module(monkeypatch, "simulator.backend", ComputeBackend=lambda: np)
    module(monkeypatch, "simulator.devices.idevice", EmptyDevice=EmptyDevice)
    names: dict[str, Any] = {}
    exec(code_of(profile.model_dump_json()), names)
    assert issubclass(names["ChipDevice"], EmptyDevice)
    np.random.seed(0)
    return names["ChipDevice"](SimpleNamespace(Rmin=r_min or 1 / profile.window.high), None)


def shares(profile: TwinProfile, part: float) -> tuple[float, np.ndarray]:
    """A conductance in the window, S, and 1/Rmin for the whole window's share of it, many times."""
    g = profile.window.low + part * (profile.window.high - profile.window.low)
    return g, np.full(COUNT, g / profile.window.high)


@pytest.mark.parametrize("preset", PRESETS)
def test_programmed_conductances_have_the_law_of_the_twin(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load(preset)
    assert profile.programming is not None
    made = device(profile, monkeypatch)
    for part in (0.0, 0.3, 1.0):
        g, given = shares(profile, part)
        drawn = profile.window.high * made.programming_error(given)
        truth = profile.programming.draw(np.full(COUNT, g), np.random.default_rng(1))
        assert ks_2samp(drawn, truth).statistic < 0.025
        assert ks_2samp(drawn + 0.2 * truth.std(), truth).statistic > 0.04  # null control


@pytest.mark.parametrize("preset", PRESETS)
def test_drift_has_programming_and_relaxation_of_the_twin(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load(preset)
    made, law = device(profile, monkeypatch), profile.relaxation
    assert profile.programming is not None
    for part, age in ((0.3, 0.0), (0.3, 3.0), (0.9, 2000.0)):
        g, given = shares(profile, part)
        rng = np.random.default_rng(2)
        truth = profile.programming.draw(np.full(COUNT, g), rng)
        if law is not None:
            z = rng.standard_normal(COUNT)
            truth = law.conductance(truth, law.coefficients(truth), z, np.full(COUNT, age))
        drawn = profile.window.high * made.drift_error(given, age)
        assert ks_2samp(drawn, truth).statistic < 0.025, (part, age)
        assert ks_2samp(drawn + 0.2 * truth.std(), truth).statistic > 0.04


def test_read_noise_is_that_of_the_twin_and_types_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = {"reference": 20e-6, "sd_median": 0.5e-6, "sd_spread": 0.4, "exponent": 0.5}
    profile = TwinProfile.model_validate(TwinProfile.load("wan-2022").model_dump() | {"read_noise": noise})
    made = device(profile, monkeypatch)
    g, given = shares(profile, 0.6)
    found = made.read_noise(given.astype(np.float32))
    assert found.dtype == np.float32
    expected = 0.5e-6 * np.sqrt(g / 20e-6) * np.exp(0.4**2)  # of a normal whose sd is lognormal
    assert (profile.window.high * found).std() == pytest.approx(expected, rel=0.03)
    assert (profile.window.high * found).mean() == pytest.approx(g, rel=1e-3)
    assert made.programming_error(given.astype(np.float32)).dtype == np.float32


def test_a_part_of_the_window_is_used_by_a_higher_r_min_and_more_than_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = TwinProfile.load("milo-2021")
    half = device(profile, monkeypatch, 2 / profile.window.high)
    whole = device(profile, monkeypatch)
    one = half.programming_error(np.full(COUNT, 1.0)) * profile.window.high / 2
    other = whole.programming_error(np.full(COUNT, 0.5)) * profile.window.high
    assert ks_2samp(one, other).statistic < 0.02
    with pytest.raises(ValueError, match=r"ends at 225 uS: set Rmin to at least 4444\.44 Ohm"):
        device(profile, monkeypatch, 0.99 / profile.window.high)


def test_the_file_says_its_parameters_and_ends_where_the_source_does(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load("milo-2021")
    text = device_source(profile)
    assert "params.xbar.device.Rmin = 4444.44" in text
    assert "params.xbar.device.Rmax = 20000 " in text
    with pytest.raises(ValueError, match="the source of this profile ends at 172800 s"):
        device(TwinProfile.load("wan-2022"), monkeypatch).drift_error(np.ones(3), 172801.0)


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(ConfigError, match="programs its cells by pulses, and CrossSim needs the errors"):
        device_source(TwinProfile.load("supert-a0"))
    with pytest.raises(ConfigError, match="is no name of a class"):
        device_source(TwinProfile.load("milo-2021"), "my device")
