"""Which kernels are read together, where damaged cells between kernels forbid some of them company.

A read drives the word lines of one bank, so every bank costs a read a time step. A cell that stands where no weight
belongs acts from the kernel on its word line on the kernel on its bit line, as long as both are in one bank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.pairs import from_pairs
from imssa_lab.mapping.placement import Mapping, PlacedKernel
from imssa_lab.s4d.dense_layer import every_step


def between(mapping: Mapping, held: FloatArray, driving: PlacedKernel, disturbed: PlacedKernel) -> FloatArray:
    """Weights that cells between two kernels of an array have, (rows of one, columns of the other), in units of the
    largest weight of a kernel.

    Args:
        held: S, (rows, cols), what the cells of their array hold; NaN where it is not known, which counts as none.
    """
    return np.nan_to_num(from_pairs(held[np.ix_(driving.word_lines, disturbed.bit_lines)], mapping.window))


def reads_a_step(mapping: Mapping) -> int:
    """Products of one time step of the whole network: every bank is read once for each layer that it holds, and every
    tile of a dense layer that works at each step.
    """
    banks = {(kernel.array, kernel.bank, kernel.layer, kernel.block.size) for kernel in mapping.kernels}
    return len(banks) + sum(every_step(tile.layer) for tile in mapping.tiles)


def separate(mapping: Mapping, apart: Callable[[PlacedKernel, PlacedKernel], bool]) -> tuple[Mapping, int]:
    """The mapping with no two kernels in one bank that must be read apart; and how many kernels changed their bank.

    Of a bank the kernel with most such neighbours leaves first. It joins another bank of its layer on its array where
    its bit lines are free and nobody must be apart from it, so that this costs no read; else it starts one.
    """
    moved = 0
    for array in range(mapping.arrays):
        banks = mapping.banks(array)
        leaving: list[PlacedKernel] = []
        for bank in banks:
            while True:
                count = [sum(apart(one, other) for other in bank if other is not one) for one in bank]
                if not any(count):
                    break
                leaving.append(bank.pop(int(np.argmax(count))))
        for kernel in sorted(leaving, key=lambda k: k.slot):
            number = max(k.bank for k in mapping.on(array)) + 1
            for bank in banks:
                if bank and all(_together(kernel, other) and not apart(kernel, other) for other in bank):
                    number = bank[0].bank
                    break
            new = replace(kernel, bank=number)
            mapping = mapping.replaced([(kernel, [new])])
            home = next((bank for bank in banks if bank and bank[0].bank == number), None)
            if home is None:
                banks.append([new])
            else:
                home.append(new)
            moved += number != kernel.bank
    return mapping, moved


def _together(one: PlacedKernel, other: PlacedKernel) -> bool:
    """Whether one read may serve both: same layer and size, no bit line in common."""
    alike = one.layer == other.layer and one.block.size == other.block.size
    return alike and not np.intersect1d(one.pairs, other.pairs).size
