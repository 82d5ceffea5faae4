"""Words that are nearly right, in error messages: names, and keys of TOML files that a pydantic model reads."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_WORD = 4
"""Letters of a word that two keys can share and be meant for each other; shorter ones are units and the like."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of the known words, empty where none is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def explain(model: type[BaseModel], error: ValidationError, whole: str) -> str:
    """The problems of a file as text, each with its place.

    Args:
        model: what the file was read as; whole: what problems of no single key are called.
    """
    lines = []
    for problem in error.errors():
        *parents, key = place = [str(part) for part in problem["loc"]] or [whole]
        where = ".".join(place)
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, parents)
            meant = _meant(key, {"": known} | _inside(model, parents))
            lines.append(f"unknown key {where!r}; " + (meant or f"there are {', '.join(known)}"))
        elif problem["type"] in ("float_parsing", "float_type", "int_parsing", "int_type"):
            lines.append(f"{where}: {problem['input']!r} is no number; write one alone, without quotes, in SI units")
        else:
            lines.append(f"{where}: {problem['msg']}")
    return "; ".join(lines)


def _meant(key: str, sections: dict[str, list[str]]) -> str:
    """A question with the first key, of the section itself or one inside it, that is near or shares a word."""
    words = {word for word in key.lower().split("_") if len(word) >= _WORD}
    for section, known in sections.items():
        near = get_close_matches(key, known, n=1) or [other for other in known if words & set(other.split("_"))]
        if near:
            return f"did you mean {section + near[0]!r}?"
    return ""


def _inside(model: type[BaseModel], parents: list[str]) -> dict[str, list[str]]:
    """Keys of the sections inside that under `parents`, by what their names begin with."""
    fields = {key: field for section in _models_at(model, parents) for key, field in section.model_fields.items()}
    return {
        f"{key}.": [name for inner in _models(field.annotation) for name in inner.model_fields]
        for key, field in fields.items()
    }


def _fields_at(model: type[BaseModel], parents: list[str]) -> list[str]:
    """Keys that the section under `parents` can have; a parent may also be a name or a kind, which is no key."""
    return [key for section in _models_at(model, parents) for key in section.model_fields]


def _models_at(model: type[BaseModel], parents: list[str]) -> list[type[BaseModel]]:
    sections = [model]
    for parent in parents:
        inner = [m for s in sections if parent in s.model_fields for m in _models(s.model_fields[parent].annotation)]
        sections = inner or sections
    return sections


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation allows, through unions, optional ones and tables of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
