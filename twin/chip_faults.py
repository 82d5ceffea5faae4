"""The faults of a chip from the start: stuck, limited and slow cells, dead lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.profile_section import Section


class StuckCells(Section):
    """Cells that no pulse moves: fraction stuck on and off, and where they stick (on: lognormal)."""

    on_fraction: float = Field(ge=0, le=1)
    off_fraction: float = Field(ge=0, le=1)
    on_conductance: float = Field(gt=0, description="median, S")
    on_spread: float = Field(default=0.0, ge=0, description="sd of ln on_conductance from cell to cell")
    off_conductance: float = Field(ge=0, description="S")

    @model_validator(mode="after")
    def _at_most_all(self) -> StuckCells:
        if self.on_fraction + self.off_fraction > 1:
            raise ValueError("stuck: on_fraction + off_fraction exceed 1")
        return self

    def on(self, scores: FloatArray) -> FloatArray:
        """Where cells stick that are stuck on, S, of their normal scores."""
        return np.asarray(self.on_conductance * np.exp(self.on_spread * scores))


class WeakCells(Section):
    """Cells that work badly: limited ones have a narrow conductance range, slow ones move part of the way a pulse."""

    limited_fraction: float = Field(default=0.0, ge=0, le=1)
    limited_low: float = Field(default=0.0, ge=0, description="lowest conductance of limited cells, S")
    limited_high: float = Field(default=1.0, gt=0, description="highest conductance of limited cells, S")
    slow_fraction: float = Field(default=0.0, ge=0, le=1)
    slow_share: float = Field(default=1.0, gt=0, le=1, description="part of the way that a pulse moves a slow cell")

    @model_validator(mode="after")
    def _ordered(self) -> WeakCells:
        if self.limited_low >= self.limited_high:
            raise ValueError("weak: limited_low must lie below limited_high")
        if self.limited_fraction + self.slow_fraction > 1:
            raise ValueError("weak: limited_fraction + slow_fraction exceed 1")
        return self


class DeadLines(Section):
    """Lines that do not work: no pulse reaches their cells.

    A dead word line leaves its cells at any conductance that they happened to have (lognormal), a dead bit line is
    open and leaves hardly any. Where both cross, the bit line decides.
    """

    word_fraction: float = Field(ge=0, le=1, description="of word lines")
    word_conductance: float = Field(gt=0, description="median over the cells of a dead word line, S")
    word_spread: float = Field(ge=0, description="sd of its ln from cell to cell")
    bit_fraction: float = Field(ge=0, le=1, description="of bit lines")
    bit_conductance: float = Field(ge=0, description="S that cells of a dead bit line show")

    def left(self, scores: FloatArray) -> FloatArray:
        """Where a dead word line leaves its cells, S, of their normal scores."""
        return np.asarray(self.word_conductance * np.exp(self.word_spread * scores))


@dataclass(frozen=True)
class Faults(FrozenArrays):
    """The faults of one chip.

    Attributes:
        stuck: True where no pulse moves the cell, (rows, cols); at: where such cells are, S.
        limited, slow: True for such cells, (rows, cols).
        words, bits: True for dead lines, (rows,) and (cols,).
    """

    stuck: BoolArray
    at: FloatArray
    limited: BoolArray
    slow: BoolArray
    words: BoolArray
    bits: BoolArray

    @classmethod
    def draw(
        cls,
        stuck: StuckCells,
        weak: WeakCells | None,
        lines: DeadLines | None,
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> Faults:
        """The faults of a chip of this kind."""
        lot, on = rng.random(shape), stuck.on(rng.standard_normal(shape))
        stuck_on = lot < stuck.on_fraction
        is_stuck = lot < stuck.on_fraction + stuck.off_fraction
        at = np.where(stuck_on, on, stuck.off_conductance)
        second = rng.random(shape)
        limited, slow = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        if weak is not None:
            limited = second < weak.limited_fraction
            slow = ~limited & (second < weak.limited_fraction + weak.slow_fraction)
        by_word, by_bit, left = rng.random(shape[0]), rng.random(shape[1]), rng.standard_normal(shape)
        words, bits = np.zeros(shape[0], dtype=np.bool_), np.zeros(shape[1], dtype=np.bool_)
        if lines is not None:
            words, bits = by_word < lines.word_fraction, by_bit < lines.bit_fraction
            at = np.where(words[:, None], lines.left(left), at)
            at = np.where(bits, lines.bit_conductance, at)
        return cls(is_stuck | words[:, None] | bits, at, limited, slow, words, bits)
