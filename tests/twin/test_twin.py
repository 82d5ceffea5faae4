"""The twin as a whole, and its profiles."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from twin import DigitalTwin, TwinProfile, open_twin, preset_names


def test_ideal_twin_computes_the_exact_product() -> None:
    twin = DigitalTwin("ideal", (64, 64), seed=0)
    target = np.random.default_rng(0).uniform(2e-6, 150e-6, (64, 64))
    report = twin.program_conductances(target)
    voltages = np.random.default_rng(1).uniform(-0.2, 0.2, (10, 64))
    assert report.within(1e-12) == 1.0
    assert twin.read_mvm(voltages) == pytest.approx(voltages @ target, rel=1e-12)


class TestProfiles:
    def test_presets_load(self) -> None:
        assert {"ideal", "supert-a0-easy"} <= set(preset_names())
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
