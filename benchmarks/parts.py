"""The parts of a benchmark: named on the command line by `--only`, announced as they begin."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TypeVar

Part = TypeVar("Part")


def parser_of(parts: Mapping[str, object], doc: str | None) -> argparse.ArgumentParser:
    """A parser with `--only PART ...`, which may be repeated."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--only", nargs="+", action="extend", choices=list(parts), help="these parts alone")
    return parser


def asked_for(parts: Mapping[str, Part], given: argparse.Namespace) -> Iterator[Part]:
    """The parts to measure, in their own order; each prints its name when it is taken."""
    for name, part in parts.items():
        if given.only is None or name in given.only:
            print(f"-- {name}", flush=True)
            yield part
