"""Defaults, allowed ranges and named figures are promises: a script that names none of them relies on each.

`defaults.txt` lists them, so that a change of one shows in a review and in the changelog. Write it again with
`python -m tests.test_defaults`.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

LISTING = Path(__file__).with_name("defaults.txt")
ROOMS = (
    "drivers",
    "imssa_lab.contract",
    "imssa_lab.log",
    "imssa_lab.mapping",
    "imssa_lab.s4d.quantise",
    "imssa_lab.s4d.model",
    "imssa_lab.virtual",
    "protocols",
    "twin",
)

OF_THE_MACHINE = {"AVAILABLE", "LOCKS", "POSITIONED", "PSEUDO_TERMINALS"}
"""Depends on what is installed, or on the system."""


def modules(room: str) -> Iterator[ModuleType]:
    package = importlib.import_module(room)
    yield package
    for one in pkgutil.walk_packages(package.__path__, f"{room}."):
        if ".testing" not in one.name and not one.name.endswith("__main__"):
            yield importlib.import_module(one.name)


def is_plain(value: object) -> bool:
    """Whether a value is written out: numbers, words, truth values, and tuples and dictionaries of them."""
    if isinstance(value, tuple | frozenset):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        explains = any(isinstance(one, str) and " " in one for one in value.values())  # wording is no figure
        return not explains and all(map(is_plain, value)) and all(map(is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str)


def written(value: object) -> str:
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)


def of_call(name: str, call: Callable[..., object]) -> Iterator[tuple[str, str]]:
    for one in inspect.signature(call).parameters.values():
        if one.default is not inspect.Parameter.empty and is_plain(one.default):
            yield f"{name}({one.name})", written(one.default)


def of_setting(name: str, field: FieldInfo) -> Iterator[tuple[str, str]]:
    if not field.is_required() and is_plain(field.default):
        yield name, written(field.default)
    for bound in field.metadata:
        limits = {
            key: value
            for key in ("gt", "ge", "lt", "le", "min_length")
            if (value := getattr(bound, key, None)) is not None
        }
        yield from ((f"{name} {key}", written(value)) for key, value in limits.items())


def of_class(name: str, kind: type) -> Iterator[tuple[str, str]]:
    if issubclass(kind, BaseModel):
        for key, setting in kind.model_fields.items():
            yield from of_setting(f"{name}.{key}", setting)
    elif dataclasses.is_dataclass(kind):
        yield f"{name} frozen", written(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]
        yield from (
            (f"{name}.{one.name}", written(one.default))
            for one in dataclasses.fields(kind)
            if one.default is not dataclasses.MISSING and is_plain(one.default)
        )
    for key, member in vars(kind).items():
        call = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(call) and (not key.startswith("_") or key in ("__init__", "__call__")):
            yield from of_call(f"{name}.{key}", call)
        elif not key.startswith("_") and is_plain(member):
            yield f"{name}.{key}", written(member)


def defaults_of(room: str) -> dict[str, str]:
    """By place the default, bound or figure, as written in Python."""
    found: dict[str, str] = {}
    for module in modules(room):
        text = inspect.getsource(module)
        for key, value in vars(module).items():
            name = f"{module.__name__}.{key}"
            if isinstance(value, BaseModel) and re.search(rf"^{key}\b[^=\n]*= ", text, re.MULTILINE):
                for part, plain in value.model_dump(mode="json").items():
                    found[f"{name}.{part}"] = written(plain)
            elif key.isupper() and not key.startswith("_") and is_plain(value):
                if key not in OF_THE_MACHINE and re.search(rf"^{key}\b[^=\n]*= ", text, re.MULTILINE):
                    found[name] = written(value)
            elif key.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            elif inspect.isclass(value):
                found.update(of_class(name, value))
            elif inspect.isfunction(value):
                found.update(of_call(name, value))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_defaults_ranges_and_figures_are_those_that_are_listed(room: str) -> None:
    """What is listed and still there; new ones join when the listing is written again."""
    lines = LISTING.read_text(encoding="utf-8").splitlines()
    listed = dict(line.split(" = ", 1) for line in lines if line.startswith(f"{room}."))
    found = defaults_of(room)
    changed = {name: (value, found[name]) for name, value in listed.items() if found.get(name, value) != value}
    assert not changed, "a changed default is for the changelog; then write the listing again"
    assert sum(name in found for name in listed) > 0.9 * len(listed) > 0


if __name__ == "__main__":
    every = {name: value for room in ROOMS for name, value in defaults_of(room).items()}
    LISTING.write_text("".join(f"{name} = {value}\n" for name, value in sorted(every.items())), "utf-8")
