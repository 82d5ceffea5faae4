"""How many bits each part of a model may have; needs no torch."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from imssa_lab.contract.errors import ConfigError

WeightBits = Literal["float", "ternary"] | Annotated[int, Field(ge=2, le=8)]
"""Of weights: 2 to 8 bits, "ternary" or "float"."""

TiedBits = WeightBits | Literal["tied"]
"""Of weights that may share the magnitude of others in their column of cells: "tied" for that."""

ConverterBits = Literal["float"] | Annotated[int, Field(ge=2, le=16)]
"""Of a converter between digital and analog: 2 to 16 bits, or "float" for none."""

Form = Literal["delta", "direct", "state"]
"""What the cells hold of a pole: Abar - 1, Abar itself, or its direction with the radius as a digital factor."""

_NAME = re.compile(r"(float|three-level|ternary|[2-8]bit)$")
_WEIGHTS = ("a", "b", "c", "encoder", "mixing", "head")


class Precision(BaseModel):
    """Widths of all parts of a model.

    Attributes:
        a, b, c, d: of the kernels' poles, input gains, output weights and feedthrough. "tied": b takes its pole's
            gain, 1 - Re(pole), and d is ternary with the scale of its channel's c, so that a column of cells holds
            one magnitude.
        encoder, mixing, head: of the linear maps before, between and after the layers.
        state, increment, output: converters of the recurrence: the DAC of the fed-back state, the ADC of the
            increments of the delta form, and the ADC of the output; training takes the rounding of the first two into
            account by running the recurrence beside the convolution.
        input: all other converters: before the encoder, each layer, after each ReLU, before the head.
        form: how a pole is held; step: scale of a uniform grid, from the largest weight ("max") or learned
            ("learned": Esser et al., Learned Step Size Quantization, arXiv 1902.08153).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    a: WeightBits = "float"
    b: TiedBits = "float"
    c: WeightBits = "float"
    d: TiedBits = "float"
    encoder: WeightBits = "float"
    mixing: WeightBits = "float"
    head: WeightBits = "float"
    state: ConverterBits = "float"
    increment: ConverterBits = "float"
    input: ConverterBits = "float"
    output: ConverterBits = "float"
    form: Form = "delta"
    step: Literal["max", "learned"] = "max"

    @model_validator(mode="after")
    def _tied(self) -> Precision:
        if self.b == "tied" and (self.a not in ("ternary", "float") or self.form != "delta"):
            raise ValueError("b=tied takes the gain of a ternary (or float) pole in the delta form")
        if self.d == "tied" and self.c != "ternary":
            raise ValueError("d=tied takes the scale of a ternary c")
        if self.increment != "float" and self.form != "delta":
            raise ValueError("increments are what arrays give in the delta form alone")
        return self

    @property
    def three_levels(self) -> bool:
        """Whether every cell of the kernels' blocks holds -g, 0 or +g of its array."""
        return (self.a, self.b, self.c, self.d) == ("ternary", "tied", "ternary", "tied")

    @classmethod
    def parse(cls, text: str) -> Precision:
        """A precision from words: a name, then changes, such as "ternary, head=8, form=direct".

        Names: "float"; "2bit" to "8bit" (every weight, d and converters 8 bits); "ternary" (A, C and linear maps
        ternary, b exact, d and converters 8 bits); "three-level" (as ternary, with b and d tied: cells hold -g, 0
        or +g).

        Raises:
            ConfigError: no such name, part or width.
        """
        name, *changes = (word.strip() for word in text.split(","))
        if not _NAME.match(name):
            raise ConfigError(
                f"precision {name!r}: no such name; choose float, ternary or 2bit to 8bit, or three-level"
            )
        parts: dict[str, object] = {}
        if name != "float":
            width: object = int(name[0]) if name.endswith("bit") else "ternary"
            parts = dict.fromkeys(_WEIGHTS, width) | {"d": 8, "input": 8}
            if name == "ternary":
                parts["b"] = "float"
            elif name == "three-level":
                parts |= {"b": "tied", "d": "tied"}
        for change in changes:
            part, _, value = (word.strip() for word in change.partition("="))
            if part not in cls.model_fields:
                raise ConfigError(f"precision {text!r}: no part {part!r}; there are {', '.join(cls.model_fields)}")
            parts[part] = int(value) if value.isdigit() else value
        try:
            return cls.model_validate(parts)
        except ValidationError as error:
            problem = error.errors()[0]
            if not problem["loc"]:
                raise ConfigError(
                    f"precision {text!r}: {problem['msg'].removeprefix('Value error, ')}; see docs/training.md"
                ) from error
            raise ConfigError(
                f"precision {text!r}: {problem['loc'][0]} cannot be {problem['input']!r}; weights take 2 to 8, "
                "ternary or float (b and d also tied), converters (state, increment, input, output) 2 to 16 or "
                "float, form delta, direct or state"
            ) from error

    @property
    def rounds_recurrence(self) -> bool:
        """Whether states or increments are converted, so that the recurrence is not that of the kernels alone."""
        return (self.state, self.increment) != ("float", "float")

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantised."""
        return self == Precision(form=self.form, step=self.step)

    def __str__(self) -> str:
        """The words that `parse` reads: the nearest name, then what differs from it."""
        names = ["float", "ternary", "three-level", *(f"{bits}bit" for bits in range(2, 9))]
        best = min(names, key=lambda name: len(self._differences(name)))
        return ", ".join([best, *(f"{part}={value}" for part, value in self._differences(best).items())])

    def _differences(self, name: str) -> dict[str, object]:
        base = Precision.parse(name)
        return {
            part: getattr(self, part)
            for part in type(self).model_fields
            if getattr(self, part) != getattr(base, part)
        }


def _from_words(value: object) -> object:
    return Precision.parse(value) if isinstance(value, str) else value


PrecisionField = Annotated[Precision, BeforeValidator(_from_words)]
"""A `Precision` in a settings model, which may be given in words."""
