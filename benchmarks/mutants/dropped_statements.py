"""An operator for cosmic-ray, which has none that leaves a statement out: a call or a `+=` becomes `pass`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import Keyword

_AUGMENTED = ("+=", "-=", "*=", "/=", "//=", "%=", "|=", "&=", "^=", "<<=", ">>=", "@=", "**=")


class DropStatement(Operator):  # type: ignore[misc]
    """Replaces a call whose result is not used, or an augmented assignment, by `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """The one place, where the first child of a simple statement is such a call or assignment."""
        if node.type == "simple_stmt" and _can_go(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The statement with `pass` in place of the call."""
        statement = node.children[0]
        node.children[0] = Keyword("pass", statement.start_pos, statement.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """None: cosmic-ray reads them for its own tests."""
        return ()


def _can_go(statement: Any) -> bool:
    if statement.type in ("atom_expr", "await"):
        return bool(statement.children[-1].type == "trailer" and statement.children[-1].children[0] == "(")
    if statement.type != "expr_stmt":
        return False
    middle = statement.children[1]
    return (middle.get_code().strip() if hasattr(middle, "get_code") else "") in _AUGMENTED
