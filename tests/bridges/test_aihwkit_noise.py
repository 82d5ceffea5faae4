"""The noise model for aihwkit, executed beside a stand-in for its base class: the laws of the twin, and refusals."""

import ast
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from imssa_lab.bridges.aihwkit_noise import noise_model_source
from imssa_lab.contract.errors import ConfigError
from twin import TwinProfile

torch = pytest.importorskip("torch")
COUNT = 20_000
PRESETS = ["hfox-cmo", "wan-2022", "milo-2021", "pcm-joshi"]


def model(profile: TwinProfile, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of the written file, aihwkit's base class being an empty one with the three methods it calls."""

    class BaseNoiseModel:
        def apply_programming_noise_to_conductance(self, g_target: Any) -> Any:
            raise NotImplementedError

        def apply_drift_noise_to_conductance(self, g_prog: Any, drift_noise_param: Any, t_inference: float) -> Any:
            raise NotImplementedError

        def generate_drift_coefficients(self, g_target: Any) -> Any:
            return None

    parts = "aihwkit.inference.noise.base".split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    sys.modules["aihwkit.inference.noise.base"].BaseNoiseModel = BaseNoiseModel  # type: ignore[attr-defined]
    names: dict[str, Any] = {}
    exec(compile(noise_model_source(profile), "written.py", "exec"), names)
    made = names["ChipNoiseModel"]
    assert issubclass(made, BaseNoiseModel)
    for name in ("apply_programming_noise_to_conductance", "apply_drift_noise_to_conductance"):
        assert name in vars(made)
    torch.manual_seed(0)
    return made()


def targets_of(profile: TwinProfile) -> np.ndarray:
    low, high = profile.window.low, profile.window.high
    return np.array([low, 0.7 * low + 0.3 * high, high])


@pytest.mark.parametrize("preset", PRESETS)
def test_programmed_conductances_have_the_law_of_the_twin(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load(preset)
    assert profile.programming is not None
    ours = model(profile, monkeypatch)
    for target in targets_of(profile):
        truth = profile.programming.draw(np.full(COUNT, target), np.random.default_rng(1))
        drawn = ours.apply_programming_noise_to_conductance(torch.full((COUNT,), 1e6 * target, dtype=torch.float64))
        assert ks_2samp(1e-6 * drawn.numpy(), truth).statistic < 0.025
        moved = ks_2samp(1e-6 * drawn.numpy() + 0.2 * truth.std(), truth).statistic
        assert moved > 0.04  # null control: a fifth of a standard deviation shows


@pytest.mark.parametrize("preset", PRESETS)
def test_relaxed_conductances_have_the_law_of_the_twin(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no read noise: those of the twin's own law at three times, and at time 0 what was programmed."""
    profile = TwinProfile.load(preset)
    quiet = profile.read_noise.model_copy(update={"sd_median": 0.0})
    ours, law = model(profile.model_copy(update={"read_noise": quiet}), monkeypatch), profile.relaxation
    for target in targets_of(profile):
        start = np.full(COUNT, target)
        g = torch.tensor(1e6 * start)
        for age in (0.0, 3.0, 2000.0):
            score = ours.generate_drift_coefficients(g)
            got = 1e-6 * ours.apply_drift_noise_to_conductance(g, score, age).numpy()
            z = np.random.default_rng(2).standard_normal(COUNT)
            truth = start if law is None else law.conductance(start, law.coefficients(start), z, np.full(COUNT, age))
            if truth.std() < 1e-12:
                assert got == pytest.approx(truth, rel=1e-6, abs=1e-10)
            else:
                assert ks_2samp(got.round(9), truth.round(9)).statistic < 0.025


def test_a_cell_keeps_its_drift_parameter_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load("pcm-joshi")
    quiet = profile.read_noise.model_copy(update={"sd_median": 0.0})
    ours = model(profile.model_copy(update={"read_noise": quiet}), monkeypatch)
    g = torch.full((1000,), 1e6 * float(targets_of(profile)[1]), dtype=torch.float64)
    score = ours.generate_drift_coefficients(g)
    early, late = (ours.apply_drift_noise_to_conductance(g, score, age) for age in (100.0, 5000.0))
    assert np.corrcoef(early.numpy(), late.numpy())[0, 1] > 0.99


def test_read_noise_has_the_sd_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load("milo-2021")
    noise = profile.read_noise.model_copy(
        update={"reference": 100e-6, "sd_median": 2e-6, "exponent": 0.5, "sd_spread": 0.0}
    )
    ours = model(profile.model_copy(update={"read_noise": noise, "relaxation": None}), monkeypatch)
    for target in targets_of(profile):
        g = torch.full((COUNT,), 1e6 * target, dtype=torch.float64)
        got = ours.apply_drift_noise_to_conductance(g, None, 10.0).numpy().std()
        assert got == pytest.approx(2.0 * np.sqrt(target / 100e-6), rel=0.03)


def test_the_file_imports_torch_and_aihwkit_alone() -> None:
    source = noise_model_source(TwinProfile.load("wan-2022"), "Wan")
    imported = [
        part.module if isinstance(part, ast.ImportFrom) else part.names[0].name
        for part in ast.walk(ast.parse(source))
        if isinstance(part, ast.Import | ast.ImportFrom)
    ]
    assert imported == ["torch", "aihwkit.inference.noise.base"]
    assert "class Wan(BaseNoiseModel)" in source


def test_times_beyond_the_source_and_profiles_of_pulses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = TwinProfile.load("wan-2022")
    ours = model(profile, monkeypatch)
    assert profile.relaxation is not None
    with pytest.raises(ValueError, match="ends at"):
        ours.apply_drift_noise_to_conductance(torch.ones(2), None, 2 * float(profile.relaxation.valid_until or 3e9))
    with pytest.raises(ConfigError, match="imssa fit"):
        noise_model_source(TwinProfile.load("supert-a0"))
    with pytest.raises(ConfigError, match="class_name"):
        noise_model_source(profile, "My Model")
