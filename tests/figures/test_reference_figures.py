"""The same seed and profile give the same figures, until the changelog says otherwise.

Each text file beside this one holds the figures of one room. After a change that is meant to change some, write them
again with `python -m tests.figures.test_reference_figures`, look at what became different, and tell users of it.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.figures.kept_figures import CLOSE, agree, lines_of

ROOMS = ("chips", "laws", "protocols", "deployed", "fits", "mapping", "quantisers", "contract", "log", "instruments")
Cases = dict[str, Callable[[], object]]


def cases(room: str) -> Cases:
    """By name what yields figures."""
    found: Cases = room_of(room).CASES
    return found


def room_of(room: str) -> ModuleType:
    return importlib.import_module(f"tests.figures.{room}_figures")


def listing(room: str) -> Path:
    return Path(__file__).with_name(f"{room}.txt")


def kept(room: str, case: str) -> dict[str, str]:
    lines = listing(room).read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ", 1) for line in lines if line.startswith((f"{case} = ", f"{case}.")))


@pytest.mark.parametrize(("room", "case"), [(room, case) for room in ROOMS for case in cases(room)])
def test_figures_are_those_that_are_kept(room: str, case: str) -> None:
    found, before = dict(lines_of(case, cases(room)[case]())), kept(room, case)
    assert found.keys() == before.keys(), "write the figures again"
    close = getattr(room_of(room), "CLOSE", CLOSE)
    changed = {name: (before[name], value) for name, value in found.items() if not agree(before[name], value, close)}
    assert not changed, "other figures are for the changelog; then write them again"


@pytest.mark.parametrize("room", ROOMS)
def test_every_kept_figure_is_of_a_case(room: str) -> None:
    names = {line.split(" = ")[0].split(".")[0] for line in listing(room).read_text(encoding="utf-8").splitlines()}
    assert names == set(cases(room))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1.000002, True),
        (1.0, 1.0001, False),
        (3, 4, False),
        (100_000, 100_001, False),
        (3, 3.0, False),
        ("word", "ward", False),
        (True, False, False),
        (1e-6, 1.0001e-6, False),
        (np.nan, np.nan, True),
        (0.0, 1e-17, False),
        (np.arange(30.0), np.arange(30.0) + 1e-7, True),
        (np.arange(30.0), np.arange(30.0)[::-1], False),
        (np.arange(30), np.arange(30)[::-1], False),
        (np.zeros(3), np.zeros(4), False),
    ],
)
def test_figures_that_differ_are_told_apart(one: object, other: object, same: bool) -> None:
    (_, before), (_, found) = next(lines_of("x", one)), next(lines_of("x", other))
    assert agree(before, found) is same


def test_what_is_no_figure_is_refused() -> None:
    with pytest.raises(TypeError, match=r"x\.a: no figure of a object"):
        list(lines_of("x", {"a": object()}))


if __name__ == "__main__":
    for room in sys.argv[1:] or ROOMS:
        lines = [f"{name} = {text}\n" for case, make in cases(room).items() for name, text in lines_of(case, make())]
        listing(room).write_text("".join(lines), encoding="utf-8")
