"""Programmers by name, as a station file names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import CrossbarArray, Programmer
from imssa_lab.contract.suggestions import did_you_mean, explain
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
"""The programmers by the names that `make_programmer` and the station file take."""

GIVEN_RECIPE = "write-verify recipe"
"""Key in the provenance of an array: the recipe that replaces its own, as JSON."""


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
    if kind is ResidualPairs and "further" not in given:
        raise ConfigError(
            f"programmer {name!r} needs further arrays for the remainders, which only a script can give: "
            f"make_programmer({name!r}, recipe, {{'further': (array, ...)}})"
        )
    merged = changed(recipe, given if kind is WriteVerify else given.pop("recipe", {}))
    if kind is WriteVerify:
        return merged
    field = "programmer" if kind is ResidualPairs else "recipe"
    try:
        made: Any = kind.model_validate({field: merged, **given})
    except ValidationError as error:
        raise ConfigError(f"programmer {name!r}: {explain(kind, error, name)}") from error
    programmer: Programmer = made
    return programmer


def recipe_of(array: CrossbarArray) -> WriteVerify:
    """The write-verify recipe of an array: the one it was given, as its provenance says, or the chip's own.

    Raises:
        ConfigError: its own programmer is something else; give a recipe.
    """
    return recipe_with(array, {})


def recipe_with(array: CrossbarArray, changes: Mapping[str, Any]) -> WriteVerify:
    """The recipe of an array with other values of some fields; where it has none of its own, `changes` are all of it.

    Raises:
        ConfigError: a field that a recipe has not, a value that it cannot have, or a field that nobody gives.
    """
    given = array.info.provenance.get(GIVEN_RECIPE)
    own = array._default_programmer() if given is None else WriteVerify.model_validate_json(given)  # noqa: SLF001 - the half of the contract that a backend writes
    fields = {**(own.model_dump() if isinstance(own, WriteVerify) else {}), **changes}
    missing = [name for name, field in WriteVerify.model_fields.items() if field.is_required() and name not in fields]
    if missing:
        raise ConfigError(
            f"{array.info.name} has no write-verify recipe of its own, so give all of one (--recipe KEY=VALUE, or in "
            f"the station file); missing: {', '.join(missing)}"
        )
    return _validated(fields)


def recipe_inside(programmer: Programmer) -> WriteVerify | None:
    """The write-verify recipe whose ladders a programmer climbs; None for one that has none."""
    inner: object = programmer
    for name in ("programmer", "recipe"):
        inner = getattr(inner, name, inner)
    return inner if isinstance(inner, WriteVerify) else None


def changed(recipe: WriteVerify, changes: Mapping[str, Any]) -> WriteVerify:
    """`recipe` with other values of some of its fields.

    Raises:
        ConfigError: a field that it has not, or a value that it cannot have, with its place.
    """
    return _validated({**recipe.model_dump(), **changes})


def _validated(fields: dict[str, Any]) -> WriteVerify:
    try:
        return WriteVerify.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"recipe: {explain(WriteVerify, error, 'recipe')}") from error
