"""Programmers by name, as a station file names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from imssa_lab.errors import ConfigError
from imssa_lab.hal import CrossbarArray, Programmer
from imssa_lab.near import did_you_mean
from protocols.programmers.both_sides import BothSides
from protocols.programmers.gate_start import GateStart
from protocols.programmers.hysteretic import WriteVerify
from protocols.programmers.incremental import Incremental
from protocols.programmers.mvm_tuning import MvmTuning
from protocols.programmers.residual import ResidualPairs

PROGRAMMERS: dict[str, type[BaseModel]] = {
    "hysteretic": WriteVerify,
    "gate-start": GateStart,
    "incremental": Incremental,
    "both-sides": BothSides,
    "mvm-tuning": MvmTuning,
    "residual": ResidualPairs,
}


def make_programmer(name: str, recipe: WriteVerify, settings: Mapping[str, Any] | None = None) -> Programmer:
    """The programmer of that name with the chip's recipe, changed by `settings`.

    Args:
        settings: fields of the programmer; `recipe` among them is a table of changes to the chip's recipe. For
            "hysteretic" the fields are the recipe's own.

    Raises:
        ConfigError: no such programmer, or a setting that it has not.
    """
    if name not in PROGRAMMERS:
        hint = did_you_mean(name, PROGRAMMERS)
        raise ConfigError(f"programmer {name!r} is not known; there are {', '.join(PROGRAMMERS)}{hint}")
    given = dict(settings or {})
    kind = PROGRAMMERS[name]
    try:
        if kind is WriteVerify:
            return _merged(recipe, given)
        merged = _merged(recipe, given.pop("recipe", {}))
        field = "programmer" if kind is ResidualPairs else "recipe"
        made: Any = kind.model_validate({field: merged, **given})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(p) for p in e['loc']) or name}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"programmer {name!r}: {problems}") from error
    programmer: Programmer = made
    return programmer


def recipe_of(array: CrossbarArray) -> WriteVerify:
    """The chip's own write-verify recipe.

    Raises:
        ConfigError: its own programmer is something else; give a recipe.
    """
    own = array._default_programmer()  # noqa: SLF001 - the half of the contract that a backend writes
    if not isinstance(own, WriteVerify):
        raise ConfigError(f"{array.info.name} has no write-verify recipe of its own; give one")
    return own


def _merged(recipe: WriteVerify, changes: Mapping[str, Any]) -> WriteVerify:
    return WriteVerify.model_validate({**recipe.model_dump(), **changes})
