"""How many bits each part of a model may have; needs no torch."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from imssa_lab.contract.errors import ConfigError

WeightBits = Literal["float", "ternary"] | Annotated[int, Field(ge=2, le=8)]
"""Of weights: 2 to 8 bits, "ternary" or "float"."""

ConverterBits = Literal["float"] | Annotated[int, Field(ge=2, le=16)]
"""Of a converter between digital and analog: 2 to 16 bits, or "float" for none."""

Form = Literal["delta", "direct", "state"]
"""What the cells hold of a pole: Abar - 1, Abar itself, or its direction with the radius as a digital factor."""

_NAME = re.compile(r"(float|ternary|[2-8]bit)$")
_WEIGHTS = ("a", "b", "c", "encoder", "mixing", "head")


class Precision(BaseModel):
    """Widths of all parts of a model.

    Attributes:
        a, b, c, d: of the kernels' poles, input gains, output weights and feedthrough.
        encoder, mixing, head: of the linear maps before, between and after the layers.
        state, output: converters of the recurrence, the DAC of the fed-back state and the ADC of the output; the
            state's acts in recurrent mode only, convolution has no state.
        input: all other converters: before the encoder, each layer, after each ReLU, before the head.
        form: how a pole is held; step: scale of a uniform grid, from the largest weight ("max") or learned
            ("learned": Esser et al., Learned Step Size Quantization, arXiv 1902.08153).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    a: WeightBits = "float"
    b: WeightBits = "float"
    c: WeightBits = "float"
    d: WeightBits = "float"
    encoder: WeightBits = "float"
    mixing: WeightBits = "float"
    head: WeightBits = "float"
    state: ConverterBits = "float"
    input: ConverterBits = "float"
    output: ConverterBits = "float"
    form: Form = "delta"
    step: Literal["max", "learned"] = "max"

    @classmethod
    def parse(cls, text: str) -> Precision:
        """A precision from words: a name, then changes, such as "ternary, head=8, form=direct".

        Names: "float"; "2bit" to "8bit" (every weight, d and converters 8 bits); "ternary" (A, C and linear maps
        ternary, b exact, d and converters 8 bits).

        Raises:
            ConfigError: no such name, part or width.
        """
        name, *changes = (word.strip() for word in text.split(","))
        if not _NAME.match(name):
            raise ConfigError(f"precision {name!r}: no such name; choose float, ternary or 2bit to 8bit")
        parts: dict[str, object] = {}
        if name != "float":
            width: object = "ternary" if name == "ternary" else int(name[0])
            parts = dict.fromkeys(_WEIGHTS, width) | {"d": 8, "input": 8}
            if name == "ternary":
                parts["b"] = "float"
        for change in changes:
            part, _, value = (word.strip() for word in change.partition("="))
            if part not in cls.model_fields:
                raise ConfigError(f"precision {text!r}: no part {part!r}; there are {', '.join(cls.model_fields)}")
            parts[part] = int(value) if value.isdigit() else value
        try:
            return cls.model_validate(parts)
        except ValidationError as error:
            problem = error.errors()[0]
            raise ConfigError(
                f"precision {text!r}: {problem['loc'][0]} cannot be {problem['input']!r}; weights take 2 to 8, "
                "ternary or float, converters (state, input, output) 2 to 16 or float, form delta, direct or state"
            ) from error

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantised."""
        return self == Precision(form=self.form, step=self.step)

    def __str__(self) -> str:
        """The words that `parse` reads: the nearest name, then what differs from it."""
        names = ["float", "ternary", *(f"{bits}bit" for bits in range(2, 9))]
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
