"""Conductances in the CSV form that aihwkit exports for programming a chip and reads back from it.

Five lines describe the analog layers, one value a layer each: id, class, num_weights, height, width (without names in
front). Then a line of layer names, and a line for each layer with its conductances in uS, output by output. The form
is that of `fusion_export` and `fusion_import` of aihwkit (`aihwkit/utils/export.py`), whose import compares the five
lines with its model, character by character. Signs of weights are not in the file: aihwkit keeps them beside it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError

HEADER = ("id", "class", "num_weights", "height", "width")
_PER_SIEMENS = 1e6
_LARGEST = 1.0
"""S; no cell conducts more."""


@dataclass(frozen=True)
class AnalogLayer(FrozenArrays):
    """One layer of a net as its cells.

    Attributes:
        name: of the layer in its net; number: its id; kind: its class.
        conductance: S, (outputs, inputs), finite and not negative; an array has word lines for inputs: its targets
            are the transpose.

    Raises:
        ConfigError: another shape or other values; a name, number or kind that the file cannot hold.
    """

    name: str
    number: int
    kind: str
    conductance: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        g = self.conductance
        if g.ndim != 2 or not g.size:
            raise ConfigError(f"layer {self.name!r}: conductances must be (outputs, inputs), got shape {g.shape}")
        bad = ~(np.isfinite(g) & (g >= 0) & (g <= _LARGEST))
        if bad.any():
            output, at = np.argwhere(bad)[0]
            raise ConfigError(
                f"layer {self.name!r}: output {output}, input {at} would be {g[output, at]:g} S; conductances are 0 "
                f"to {_LARGEST:g} S, without signs ({np.count_nonzero(bad)} such cells)"
            )
        if not self.name or not self.kind.isidentifier():
            raise ConfigError(
                f"layer {self.name!r} of class {self.kind!r}: a layer needs a name and the name of a class"
            )


def read_layers(path: Path) -> tuple[AnalogLayer, ...]:
    """The layers of a file, as aihwkit or `write_layers` wrote it; of layers on one tile each.

    Raises:
        ConfigError: it cannot be read, or is not of this form; names the line.
    """
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as CSV: {error}") from error
    return tuple(_layers(path, lines))


def _layers(path: Path, lines: list[list[str]]) -> Iterator[AnalogLayer]:
    named = len(HEADER)
    if len(lines) <= named:
        raise ConfigError(
            f"{path}: {len(lines)} lines; five about the layers, one of names and one a layer are needed"
        )
    count = len(lines[named])
    for line, (what, values) in enumerate(zip((*HEADER, "names"), lines, strict=False), start=1):
        if len(values) != count:
            raise ConfigError(f"{path}, line {line} ({what}): {len(values)} values for {count} layers")
    if len(lines) != named + 1 + count:
        raise ConfigError(f"{path}: {len(lines) - named - 1} lines of conductances for {count} layers")
    if len(set(lines[named])) < count:
        raise ConfigError(f"{path}, line {named + 1}: two layers of one name")
    for at, name in enumerate(lines[named]):
        number, weights, height, width = (_whole(path, line, lines[line][at]) for line in (0, 2, 3, 4))
        if not weights == height * width > 0:
            raise ConfigError(f"{path}, layer {name!r}: {weights} weights in {height} x {width}")
        values = lines[named + 1 + at]
        if len(values) != weights:
            more = (
                "; layers on several tiles, or with an analog bias, have no such table"
                if len(values) > weights
                else ""
            )
            raise ConfigError(f"{path}, layer {name!r}: {len(values)} conductances for {weights} weights{more}")
        cells = np.array([_number(path, named + 2 + at, value) for value in values]).reshape(height, width)
        yield AnalogLayer(name, number, lines[1][at], cells / _PER_SIEMENS)


def _whole(path: Path, line: int, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{path}, line {line + 1} ({HEADER[line]}): {text!r} is no whole number")
    return int(text)


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{path}, line {line}: {text!r} is no conductance in uS")
    return value


def write_layers(path: Path, layers: Sequence[AnalogLayer]) -> None:
    """Write layers so that aihwkit's import reads them, the file as a whole or not at all.

    Raises:
        ConfigError: no layer, two of one name, or the file cannot be written.
    """
    if not layers or len({layer.name for layer in layers}) < len(layers):
        raise ConfigError(f"{path}: give at least one layer, each with a name of its own")
    columns = [(one.number, one.kind, one.conductance.size, *one.conductance.shape) for one in layers]
    text = io.StringIO(newline="")
    for values in zip(*columns, strict=True):
        text.write(",".join(map(str, values)) + "\n")
    table = csv.writer(text)
    table.writerow([layer.name for layer in layers])
    for layer in layers:
        table.writerow((_PER_SIEMENS * layer.conductance).ravel().tolist())
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.write_text(text.getvalue(), encoding="utf-8", newline="")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error
