"""`TwinProfile`: every parameter of a digital twin, with unit and meaning, as TOML.

Conductances are in S, voltages in V, times in s. A key that is not listed here is an error. A profile may say
`extends = "supert-a0"` (a preset, or a .toml file beside it) and then only what differs.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import Limits, Window
from imssa_lab.contract.notebook import facts_html
from imssa_lab.contract.suggestions import explain
from twin.cells import CellSections
from twin.noise import ReadNoise
from twin.periphery.columns import Columns, ReadRate
from twin.periphery.converter import Adc
from twin.periphery.inputs import Inputs
from twin.profile_section import Section
from twin.programming_law import ProgrammingError
from twin.relaxation import Relaxation
from twin.thermal.temperature import Temperature
from twin.wires.wire_resistance import Wires


class Timing(Section):
    """Device time that an operation takes, s; a pulse takes its width besides."""

    mvm: float = Field(ge=0, description="per vector")
    cell_read: float = Field(ge=0, description="per cell")
    pulse: float = Field(ge=0, description="per pulsed cell, beside the width")
    applied: float | None = Field(
        default=None,
        gt=0,
        description="the read voltage, of one product of one bit and of one reading of a cell, pauses left out; "
        "None: not known, and then neither is the energy of the cells",
    )


class Recipe(Section):
    """The chip's own write-verify settings; `protocols.programmers.hysteretic.WriteVerify` explains them."""

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
    patience: int | None = Field(default=None, ge=1, description="pulses without progress; None: any number")
    returns: int | None = Field(default=None, ge=0, description="comings back to a list; None: any number")
    whole_every: int = Field(default=1, ge=1, description="steps from one read of all cells to the next")
    step_back: int | None = Field(default=None, ge=0, description="rungs; None: from the start of the ladder")


class FittedTo(Section):
    """How many cells, or bit lines, the sections of a profile were fitted to, and what its laws do not describe.

    A law fitted to n cells is about as uncertain as the distribution of n cells; and no law describes a chip exactly.
    `imssa twin-check` allows for both.
    """

    read_noise: int | None = Field(default=None, gt=0, description="cells")
    relaxation: int | None = Field(default=None, gt=0, description="cells")
    programming: int | None = Field(default=None, gt=0, description="cells")
    measured_pulses: int | None = Field(default=None, gt=0, description="cells")
    nonlinearity: int | None = Field(default=None, gt=0, description="bit lines")
    columns: int | None = Field(default=None, gt=0, description="bit lines")
    misfit: dict[str, float] = Field(
        default={},
        description="1, by statistic of `imssa twin-check`: KS distance, beyond chance, between the session that was "
        "fitted and twins of this profile",
    )


class TwinProfile(CellSections):
    """All parameters of a digital twin."""

    name: str
    source: str = Field(description="where the numbers come from")
    read_voltage: float = Field(gt=0, description="V at which single cells are read")
    window: Window
    limits: Limits
    read_noise: ReadNoise
    inputs: Inputs
    adc: Adc | None = None
    columns: Columns
    read_rate: ReadRate | None = Field(default=None, description="None: readings do not depend on the rate")
    wires: Wires | None = Field(default=None, description="None: lines without resistance")
    relaxation: Relaxation | None = Field(default=None, description="None: cells keep what pulses gave them")
    temperature: Temperature | None = Field(default=None, description="None: nothing depends on temperature")
    timing: Timing
    recipe: Recipe
    programming: ProgrammingError | None = Field(default=None, description="None: the recipe brings cells by pulses")
    fitted_to: FittedTo | None = Field(default=None, description="None: no section was fitted to a session")

    @model_validator(mode="after")
    def _selected_cells_are_linear(self) -> TwinProfile:
        if self.wires is not None and self.wires.selection != "ground" and self.nonlinearity is not None:
            raise ValueError(
                f"wires: selection = '{self.wires.selection}' is computed for linear cells only; leave the section "
                "nonlinearity out, or write selection = 'ground'"
            )
        return self

    @model_validator(mode="after")
    def _pulses_have_lines(self) -> TwinProfile:
        if self.line_drop is not None and (self.wires is None or self.wires.selector == "none"):
            raise ValueError(
                "line_drop: it is computed for cells with a transistor on lines with a resistance; write a section "
                "wires with r_word, r_bit and selector = 'transistor', or leave line_drop out"
            )
        return self

    @classmethod
    def load(cls, name_or_path: str | Path) -> TwinProfile:
        """A preset by its name, or a profile from a TOML file (anything ending in .toml).

        Raises:
            ConfigError: no such preset or file, not TOML, profiles that extend each other, or a key or value that a
                profile cannot have.
        """
        try:
            return cls.model_validate(_tables(str(name_or_path)))
        except ValidationError as error:
            raise ConfigError(f"profile {name_or_path}: {explain(cls, error, 'profile')}") from error

    def _repr_html_(self) -> str:
        """For notebooks: every section that there is, SI units."""
        facts = []
        for name, value in self.model_dump(exclude_none=True, exclude={"name"}).items():
            words = (
                ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)
            )
            facts.append((name.replace("_", " "), words))
        return facts_html(f"twin profile {self.name}", facts)


def _tables(name_or_path: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The tables of a profile over those of the profile that it extends."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"profile {path}: no such file")
        text = path.read_text(encoding="utf-8-sig")
    else:
        preset = files("twin") / "presets" / f"{name_or_path}.toml"
        if not preset.is_file():
            raise ConfigError(
                f"profile {name_or_path!r}: no such preset; there are {', '.join(preset_names())}, "
                "or give the path of a .toml file"
            )
        text = preset.read_text(encoding="utf-8")
    try:
        own = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"profile {name_or_path}: not TOML: {error}") from error
    base = own.pop("extends", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise ConfigError(f"profile {name_or_path}: extends = {base!r}; give the name of one preset or .toml file")
    if base.endswith(".toml"):
        base = str((path.parent / base).resolve())
    chain = (*above, str(path.resolve()) if path.suffix == ".toml" else name_or_path)
    if base in chain:
        raise ConfigError(f"profile {name_or_path}: extends {base}, which extends it in turn; break the circle")
    return _merged(_tables(base, chain), own)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Tables merge key by key; anything else, and a table that names its kind, replaces what was there."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and "kind" not in value
        merged[key] = _merged(base[key], value) if both else value
    return merged


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in (files("twin") / "presets").iterdir()
        if entry.name.endswith(".toml")
    )
