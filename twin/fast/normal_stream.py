"""Standard normal numbers of one generator, drawn ahead: drawing few at a time costs more than the numbers."""

from __future__ import annotations

import math

import numpy as np

from imssa_lab.contract import jit
from imssa_lab.contract.hal import FloatArray
from twin.fast import compiled_noise

_AHEAD = 1 << 14
"""128 KB: what fits the processor's cache beside the tables of an array."""


class NormalStream:
    """The numbers that a generator gives one after the other, whatever number of them is taken at a time.

    Args:
        generator: nobody else draws from it.
    """

    KEPT = ("_generator", "_drawn", "_next")

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator, self._compiled = generator, jit.AVAILABLE
        self._drawn, self._next = np.zeros(0), 0

    def take(self, *shape: int) -> FloatArray:
        """The next numbers, in this shape, to be used before the next call: their memory is written again."""
        numbers, start = self.ahead(math.prod(shape))
        return numbers[start : self._next].reshape(shape)

    def ahead(self, count: int) -> tuple[FloatArray, int]:
        """Where the next `count` numbers are: an array (n,), and the first of them in it; as `take` otherwise."""
        if self._next + count > self._drawn.size:
            self._draw(count)
        start, self._next = self._next, self._next + count
        return self._drawn, start

    def _draw(self, count: int) -> None:
        left = self._drawn[self._next :].copy()
        if self._drawn.size != max(_AHEAD, count):
            self._drawn = np.empty(max(_AHEAD, count, left.size))
        self._drawn[: left.size] = left
        fresh = self._drawn[left.size :]
        if self._compiled:
            compiled_noise.draw(self._generator, fresh)
        else:
            self._generator.standard_normal(out=fresh)
        self._next = 0
