"""`RecipeOverride`: an array whose programmer is chosen by the lab, instead of the chip's own recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import CrossbarArray, Programmer, PulseKind
from imssa_lab.contract.wrapper import Wrapper
from protocols.programmers import make_programmer, recipe_inside
from protocols.programmers.programmer_names import GIVEN_RECIPE, recipe_with

GIVEN_PROGRAMMER = "programmer"
"""What in the provenance of an array names the programmer that it was given."""


class RecipeOverride(Wrapper):
    """The contract of `array`, with the programmer `name` wherever a script names none.

    The provenance says what was given, so that a log does. To a log it is the array's own recipe: a replay answers
    with the recorded report (decision 5).

    Args:
        name: of the programmer; None for the one that the array was given before, else "hysteretic".
        changes: to the write-verify recipe of the array, fields of `WriteVerify`; all of one for an array without.

    Raises:
        ConfigError: no such programmer, a setting that a recipe has not, or too few for an array without a recipe;
            what was chosen pulses above the limits of the array, or has a tolerance wider than its window.
    """

    def __init__(self, array: CrossbarArray, name: str | None, changes: Mapping[str, Any]) -> None:
        super().__init__(array)
        chosen = bool(name or changes)
        name = name or array.info.provenance.get(GIVEN_PROGRAMMER, "hysteretic")
        recipe = recipe_with(array, changes)
        self._programmer = make_programmer(name, recipe, {})
        if chosen:
            self._within_limits()
        given = {GIVEN_PROGRAMMER: name, GIVEN_RECIPE: recipe.model_dump_json()}
        self._info = array.info.model_copy(update={"provenance": {**array.info.provenance, **given}})

    def _within_limits(self) -> None:
        recipe = recipe_inside(self._programmer)
        if recipe is None:
            return
        window = self._info.window
        for key in ("tolerance_in", "tolerance_out"):
            if getattr(recipe, key) > window.span:
                raise ConfigError(
                    f"recipe.{key}: {getattr(recipe, key):g} S is wider than the conductance window of "
                    f"{self._info.name}, {1e6 * window.low:g} to {1e6 * window.high:g} uS; values are in "
                    "S, so 8 uS is 8e-6"
                )
        for kind in (PulseKind.SET, PulseKind.RESET):
            ladder, low = recipe.ladder(kind), kind.value.lower()
            limits = getattr(self._info.limits, low)
            for key, top, limit in (
                (f"{low}_voltage", float(ladder.voltage.max()), limits.voltage_max),
                (f"{low}_gate", float(ladder.gate.max()), limits.gate_max),
            ):
                if top > limit:
                    start, _, step = getattr(recipe, key)
                    raise ConfigError(
                        f"recipe.{key}: goes up to {top:g} V, {self._info.name} allows {limit:g} V; "
                        f"write for example {key} = [{start:g}, {limit:g}, {step:g}]"
                    )

    def _default_programmer(self) -> Programmer:
        return self._programmer
