"""Mutants of a source file: every place that an operator of cosmic-ray can change, and the seeded sample of them."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

from benchmarks.mutants.dropped_statements import DropStatement
from benchmarks.mutants.unseen_code import unseen_spans

# One plausible slip for each operator of the language. Swaps such as + for << end in a TypeError at once: they would
# be killed by any test and would flatter the rate.
_SLIPS = {
    "Add": ("Sub",),
    "Sub": ("Add",),
    "Mul": ("Div",),
    "Div": ("Mul",),
    "FloorDiv": ("Mul",),
    "Mod": ("FloorDiv",),
    "Pow": ("Mul",),
    "RShift": ("LShift",),
    "LShift": ("RShift",),
    "BitOr": ("BitAnd",),
    "BitAnd": ("BitOr",),
    "BitXor": ("BitOr",),
}
_COMPARISONS = {
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
_NAMES = (
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, new in ((a, b) for a, all_b in _SLIPS.items() for b in all_b)),
    *(
        f"ReplaceComparisonOperator_{old}_{new}"
        for old, new in ((a, b) for a, all_b in _COMPARISONS.items() for b in all_b)
    ),
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "NumberReplacer",
    "RemoveDecorator",
    "ZeroIterationForLoop",
)


def operators() -> dict[str, type[Operator]]:
    """The operators in use: those of cosmic-ray by name, and dropped statements."""
    return {**{name: get_operator(f"core/{name}") for name in _NAMES}, "DropStatement": DropStatement}


@dataclass(frozen=True)
class Mutant:
    """One small bug. `key` names it by file, function and text, so that edits elsewhere do not change it."""

    path: str
    function: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str
    key: str

    def code_from(self, text: str) -> str:
        """The whole mutated file, from the text of the whole file."""
        return _mutated(text, self.operator, self.occurrence)


def sample(tree: Path, sources: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """`count` mutants at as many places, or as many as there are places.

    Each place has a rank, the hash of the seed and of its name; the first `count` places are taken and one of
    the mutants of each. So an edit elsewhere changes no other draw.
    """
    places: dict[tuple[str, tuple[int, int]], list[tuple[str, str, int]]] = {}
    for path in sources:
        text = (tree / path).read_text(encoding="utf-8")
        for begin, operator, occurrence, name in _candidates(path, text):
            places.setdefault((path, begin), []).append((name, operator, occurrence))
    ranked = sorted(
        (_rank(seed, here[0][0]), place, min(here, key=lambda one: _rank(seed, f"{one[0]} {one[1]}")))
        for place, here in places.items()
    )
    chosen: list[Mutant] = []
    for _, (path, begin), (name, operator, occurrence) in ranked:
        if len(chosen) == count:
            break
        mutant = _mutant(tree, path, begin, name, operator, occurrence)
        if mutant is not None:
            chosen.append(mutant)
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.line))


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _candidates(path: str, text: str) -> Iterator[tuple[tuple[int, int], str, int, str]]:
    """Place, operator, its occurrence in the file, and the name of the place."""
    tree = ast.parse(text)
    unseen = unseen_spans(tree)
    functions = [
        (node.lineno, node.end_lineno or node.lineno, node.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    lines = text.splitlines()
    nodes = list(ast_nodes(get_ast(text)))
    seen: dict[str, int] = {}
    for operator, kind in operators().items():
        occurrence = 0
        instance = kind()
        for node in nodes:
            for begin, _ in instance.mutation_positions(node):
                if not any(first <= begin < last for first, last in unseen) and not _is_marker(node):
                    inside = ".".join(name for first, last, name in sorted(functions) if first <= begin[0] <= last)
                    name = f"{path}:{inside}:{lines[begin[0] - 1].strip()}:{operator}"
                    seen[name] = seen.get(name, 0) + 1
                    yield begin, operator, occurrence, f"{name}:{seen[name]}"
                occurrence += 1


def _is_marker(node: Any) -> bool:
    """Whether a star or slash stands where it computes nothing: in a list of parameters, or where it unpacks."""
    unpacks = ("argument", "dictorsetmaker", "star_expr")
    return node.type == "operator" and node.parent.type in ("parameters", "param", "lambdef", *unpacks)


def _mutant(
    tree: Path, path: str, begin: tuple[int, int], name: str, operator: str, occurrence: int
) -> Mutant | None:
    """The mutant, or None where the text still says the same."""
    text = (tree / path).read_text(encoding="utf-8")
    try:
        after = _mutated(text, operator, occurrence)
    except AttributeError:
        return None  # cosmic-ray's exception replacer knows no dotted names within a tuple
    if ast.dump(ast.parse(after)) == ast.dump(ast.parse(text)):
        return None
    old, new = text.splitlines(), after.splitlines()
    first = next(at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    function = name[len(path) + 1 :].split(":", 1)[0]
    before, changed = old[first].strip(), new[first].strip()
    key = f"{path} | {function} | {before} -> {changed} | {name.rsplit(':', 1)[1]}"
    return Mutant(path, function, first + 1, operator, occurrence, before, changed, key)


def _mutated(text: str, operator: str, occurrence: int) -> str:
    code = mutate_code(text, operators()[operator](), occurrence)
    if not isinstance(code, str):
        raise LookupError(f"{operator} has no occurrence {occurrence} in the file; it changed while it was read")
    return code
