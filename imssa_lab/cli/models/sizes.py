"""The size of a net from the command line: by its numbers, or as large as some arrays take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.mapping import Packing
    from imssa_lab.s4d.train.settings import TrainingConfig


def read_shape(text: str) -> tuple[int, int]:
    """Word lines and bit lines from "64x64".

    Raises:
        ConfigError: not two whole numbers above zero with an x between them.
    """
    rows, _, cols = text.partition("x")
    if not (rows.isdigit() and cols.isdigit() and int(rows) and int(cols)):
        raise ConfigError(f"--shape {text!r}: write word lines x bit lines, for example 64x64")
    return int(rows), int(cols)


def read_steps(text: str) -> tuple[float, float]:
    """Bounds of the initial step from "0.01,0.2".

    Raises:
        ConfigError: not two numbers above zero, the smaller one first.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--dt {text!r}: write the smallest and the largest step, for example 0.01,0.2") from error
    if not 0 < low <= high < float("inf"):
        raise ConfigError(f"--dt {text!r}: steps are above zero, the smaller one first")
    return low, high


def sized(
    config: TrainingConfig,
    numbers: dict[str, int | None],
    init: str | None,
    steps: str | None,
    arrays: int | None,
    shape: str,
    head: dict[str, str | None] | None = None,
    packing: Packing = "time",
) -> TrainingConfig:
    """The same settings with other sizes and poles, where not None.

    Args:
        head: pooling and levelling.
        numbers: channels, layers and states; with `arrays` and without channels these become as many as fit.
        packing: of the kernels on these arrays, see `Layout`.

    Raises:
        ConfigError: no such initialisation, pooling or levelling, or the net does not fit on so many arrays.
    """
    from typing import get_args

    from imssa_lab.s4d.bundle import Levelling, Pooling
    from imssa_lab.s4d.model.poles import Initialisation

    changes: dict[str, object] = {name: value for name, value in numbers.items() if value is not None}
    if init is not None:
        if init not in get_args(Initialisation):
            raise ConfigError(f"--init {init!r}: choose one of {', '.join(get_args(Initialisation))}")
        changes["initialisation"] = init
    for name, (kinds, value) in {
        "pooling": (Pooling, (head or {}).get("pooling")),
        "levelling": (Levelling, (head or {}).get("levelling")),
    }.items():
        if value is not None:
            if value not in get_args(kinds):
                raise ConfigError(f"--{name} {value!r}: choose one of {', '.join(get_args(kinds))}")
            changes[name] = value
    if steps is not None:
        changes["dt_range"] = read_steps(steps)
    changed = config.model_copy(update=changes)
    if arrays is None:
        return changed
    from imssa_lab.mapping.placement import most_channels

    lines = read_shape(shape)
    most = most_channels(changed.states, changed.layers, arrays, lines, packing)
    if most < 1 or (numbers["channels"] or 1) > most:
        raise ConfigError(
            f"--arrays {arrays}: at most {most} channels of {changed.states} states in {changed.layers} layers fit "
            f"on {arrays} of {shape}, packed for {packing}; ask for fewer channels, states or layers, or more arrays"
        )
    return changed if numbers["channels"] else changed.model_copy(update={"channels": most})
