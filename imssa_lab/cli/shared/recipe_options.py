"""`--programmer` and `--recipe`: how cells are programmed, instead of what the station file or the chip says."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.contract.hal import CrossbarArray

ProgrammerOption = Annotated[
    str | None,
    typer.Option(
        "--programmer",
        help="Name of the programmer; by default that of the station file or the chip.",
        autocompletion=completion.programmers,
    ),
]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option("--recipe", help="Change to the write-verify recipe, KEY=VALUE in S, V, s; may be repeated."),
]


def recipe_changes(given: list[str] | None) -> dict[str, Any]:
    """What `--recipe tolerance_out=5e-6 --recipe centre=true` asks for; values are those of TOML.

    Raises:
        ConfigError: not KEY=VALUE, or a key twice.
    """
    changes: dict[str, Any] = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not (key and equals):
            raise ConfigError(f"--recipe {text!r}: write KEY=VALUE, for example tolerance_out=8e-6")
        if key in changes:
            raise ConfigError(f"--recipe: {key} is given twice; keep one")
        try:
            changes[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"--recipe {text!r}: {value!r} is no value of TOML: {error}") from error
    return changes


def with_recipe(array: CrossbarArray, programmer: str | None, changes: dict[str, Any]) -> CrossbarArray:
    """`array` with what the options say; the array itself where they say nothing.

    Raises:
        ConfigError: as `protocols.wrappers.recipe_override.RecipeOverride`.
    """
    from protocols.wrappers.recipe_override import RecipeOverride

    return RecipeOverride(array, programmer, changes) if programmer or changes else array
