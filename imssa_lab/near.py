"""Words that are nearly right, in error messages: names, and keys of TOML files that a pydantic model reads."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of the known words, empty where none is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def explain(model: type[BaseModel], error: ValidationError, whole: str) -> str:
    """What is wrong with a file, each problem with its place.

    Args:
        model: what the file was read as; whole: what problems of no single key are called.
    """
    lines = []
    for problem in error.errors():
        *parents, key = place = [str(part) for part in problem["loc"]] or [whole]
        where = ".".join(place)
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, parents)
            lines.append(f"unknown key {where!r}" + (did_you_mean(key, known) or f"; there are {', '.join(known)}"))
        else:
            lines.append(f"{where}: {problem['msg']}")
    return "; ".join(lines)


def _fields_at(model: type[BaseModel], parents: list[str]) -> list[str]:
    """Keys that the section under `parents` can have; a parent may also be a name or a kind, which is no key."""
    sections = [model]
    for parent in parents:
        inner = [m for s in sections if parent in s.model_fields for m in _models(s.model_fields[parent].annotation)]
        sections = inner or sections
    return [key for section in sections for key in section.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation allows, through unions, optional ones and tables of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
