"""`TwinProfile`: every parameter of a digital twin, with unit and meaning, as TOML.

Conductances are in S, voltages in V, times in s. A key that is not listed here is an error.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imssa_lab.errors import ConfigError
from imssa_lab.hal import Limits, Window


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FreshCells(_Section):
    """Conductance of formed cells in their RESET state before anything is programmed: lognormal."""

    median: float = Field(gt=0, description="S")
    spread: float = Field(ge=0, description="sd of ln G")


class SetResponse(_Section):
    """SET: the gate limits what a pulse can reach, the voltage how much of that it does reach.

    G_after = max(G, limit * (1 - exp(-(V - v_threshold)/v_scale))), limit = slope * (V_gate - gate_threshold).
    """

    slope: float = Field(gt=0, description="S of compliance conductance per V of gate")
    gate_threshold: float = Field(description="gate voltage at which the compliance conductance is zero, V")
    v_threshold: float = Field(gt=0, description="voltage below which nothing happens, V")
    v_scale: float = Field(gt=0, description="V over which the response saturates")
    device_spread: float = Field(ge=0, description="sd of v_threshold from cell to cell, V")
    slope_spread: float = Field(ge=0, description="sd of ln slope from cell to cell")
    cycle_spread: float = Field(ge=0, description="sd of ln limit from pulse to pulse")


class ResetResponse(_Section):
    """RESET: a pulse brings a cell down to a conductance that falls exponentially with voltage.

    G_after = min(G, g_at_1v * exp(-(V + v_per_decade log10(width/width_reference) - 1 V)/v_scale)), never below the
    cell's own floor; nothing happens below v_threshold or below gate_on.
    """

    g_at_1v: float = Field(gt=0, description="S left after a pulse of 1 V and the reference width")
    v_scale: float = Field(gt=0, description="V per factor e")
    v_threshold: float = Field(gt=0, description="V")
    v_per_decade: float = Field(ge=0, description="V of extra effect per decade of width")
    width_reference: float = Field(gt=0, description="s")
    gate_on: float = Field(gt=0, description="gate voltage from which the transistor is fully on, V")
    floor: float = Field(ge=0, description="median of the lowest conductance of a cell, S")
    floor_spread: float = Field(ge=0, description="sd of ln floor from cell to cell")
    device_spread: float = Field(ge=0, description="sd of an offset of the pulse voltage from cell to cell, V")
    cycle_spread: float = Field(ge=0, description="sd of ln G from pulse to pulse")


class StuckCells(_Section):
    """Cells that no pulse moves: fraction stuck on and off, and where they stick."""

    on_fraction: float = Field(ge=0, le=1)
    off_fraction: float = Field(ge=0, le=1)
    on_conductance: float = Field(gt=0, description="S")
    off_conductance: float = Field(ge=0, description="S")

    @model_validator(mode="after")
    def _at_most_all(self) -> StuckCells:
        if self.on_fraction + self.off_fraction > 1:
            raise ValueError("stuck: on_fraction + off_fraction exceed 1")
        return self


class ReadNoise(_Section):
    """White noise of a cell from read to read; its sd is lognormal over the cells and grows with conductance."""

    sd_median: float = Field(ge=0, description="S, of a cell at the reference conductance")
    sd_spread: float = Field(ge=0, description="sd of ln sd from cell to cell")
    reference: float = Field(gt=0, description="S")
    exponent: float = Field(ge=0, description="sd grows as (G / reference) to this power")


class Inputs(_Section):
    """The word-line DAC: signed analog voltages, `bits` None for continuous, full scale in V."""

    bits: int | None = Field(default=None, ge=2, le=16)
    full_scale: float = Field(gt=0)


class Adc(_Section):
    """The bit-line converter: signed codes of `bits`; the amplifier takes the smallest range that holds."""

    bits: int = Field(ge=2, le=16)
    full_scales: tuple[float, ...] = Field(min_length=1, description="A, ascending")

    @model_validator(mode="after")
    def _ascending(self) -> Adc:
        if list(self.full_scales) != sorted(set(self.full_scales)) or self.full_scales[0] <= 0:
            raise ValueError("adc: full_scales must ascend and be above zero")
        return self


class Columns(_Section):
    """Per-column gain and offset of `read_mvm` before calibration; cell reads do not have them."""

    gain: float = Field(gt=0, description="mean")
    gain_spread: float = Field(ge=0, description="sd")
    offset_spread: float = Field(ge=0, description="sd, A")


class Timing(_Section):
    """Device time that an operation takes, s; a pulse takes its width besides."""

    mvm: float = Field(ge=0, description="per vector")
    cell_read: float = Field(ge=0, description="per cell")
    pulse: float = Field(ge=0, description="per pulsed cell, beside the width")


class Recipe(_Section):
    """The chip's own write-verify settings; `protocols.write_verify.WriteVerify` explains them."""

    tolerance_in: float = Field(gt=0, description="S")
    tolerance_out: float = Field(gt=0, description="S")
    set_voltage: tuple[float, float, float] = Field(description="start, stop, step, V")
    set_gate: tuple[float, float, float] = Field(description="start, stop, step, V")
    set_width: float = Field(gt=0, description="s")
    reset_voltage: tuple[float, float, float] = Field(description="start, stop, step, V")
    reset_gate: tuple[float, float, float] = Field(description="start, stop, step, V")
    reset_width: float = Field(gt=0, description="s")
    averages: int = Field(ge=1)
    max_steps: int = Field(ge=1)
    max_retries: int = Field(ge=0)


class TwinProfile(_Section):
    """All parameters of a digital twin. `exact_programming` writes targets as they are, without pulses."""

    name: str
    source: str = Field(description="where the numbers come from")
    read_voltage: float = Field(gt=0, description="V at which single cells are read")
    window: Window
    limits: Limits
    fresh: FreshCells
    set: SetResponse
    reset: ResetResponse
    stuck: StuckCells
    read_noise: ReadNoise
    inputs: Inputs
    adc: Adc | None = None
    columns: Columns
    timing: Timing
    recipe: Recipe
    exact_programming: bool = False

    @classmethod
    def load(cls, name_or_path: str | Path) -> TwinProfile:
        """A preset by its name, or a profile from a TOML file (anything ending in .toml).

        Raises:
            ConfigError: no such preset or file, not TOML, or a key or value that a profile cannot have.
        """
        path = Path(name_or_path)
        if path.suffix == ".toml":
            if not path.is_file():
                raise ConfigError(f"profile {path}: no such file")
            text = path.read_text(encoding="utf-8")
        else:
            preset = files("twin") / "presets" / f"{name_or_path}.toml"
            if not preset.is_file():
                raise ConfigError(
                    f"profile {str(name_or_path)!r}: no such preset; there are {', '.join(preset_names())}, "
                    "or give the path of a .toml file"
                )
            text = preset.read_text(encoding="utf-8")
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"profile {name_or_path}: not TOML: {error}") from error
        except ValidationError as error:
            raise ConfigError(f"profile {name_or_path}: {_explain(cls, error)}") from error


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in (files("twin") / "presets").iterdir()
        if entry.name.endswith(".toml")
    )


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            *parents, key = (str(part) for part in problem["loc"])
            near = get_close_matches(key, _fields_at(model, parents), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            lines.append(f"unknown key {where!r}{hint}")
        else:
            lines.append(f"{where or 'profile'}: {problem['msg']}")
    return "; ".join(lines)


def _fields_at(model: type[BaseModel], parents: list[str]) -> list[str]:
    section: Any = model
    for parent in parents:
        section = section.model_fields[parent].annotation
    return list(section.model_fields) if hasattr(section, "model_fields") else []
