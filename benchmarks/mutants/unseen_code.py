"""Code that no test is asked to see: annotations, wording of messages, assertions, caches and compilers."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

Span = tuple[tuple[int, int], tuple[int, int]]

COMPILERS = {"compiled", "views", "inner", "inlined", "exact_sums", "njit"}
"""Decorators that compile a function with numba: those of `imssa_lab.contract.jit`, and numba's own."""

# Without these a function answers the same, only later.
_SPEED = {*COMPILERS, "cache", "lru_cache", "overload", "final", "override"}
_WORDS = {"warn", "warning", "info", "debug", "error", "exception", "log"}


def unseen_spans(tree: ast.Module) -> list[Span]:
    """Stretches ((line, column), (line, column)) whose mutants are not generated; lines from 1, columns from 0."""
    # A decorator's place begins with its "@", one column before the expression.
    return [
        ((node.lineno, max(node.col_offset - 1, 0)), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in _unseen(tree)
    ]


def _unseen(tree: ast.Module) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                every += [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
                yield from (one.annotation for one in every if one.annotation is not None)
                if node.returns is not None:
                    yield node.returns
                yield from (one for one in node.decorator_list if last_name(one) in _SPEED)
            case ast.AnnAssign():
                yield node.annotation
            case ast.Assign() if any(last_name(one) == "__all__" for one in node.targets):
                yield node
            case ast.Assign() if isinstance(node.value, ast.Call) and last_name(node.value.func) in (
                "TypeVar",
                "ParamSpec",
                "NewType",
            ):
                yield node
            case ast.Assert():
                yield node
            case ast.Call(func=ast.Name(id="zip")):
                yield from (one.value for one in node.keywords if one.arg == "strict")
            case ast.JoinedStr():  # plural endings and the like; factors of a unit, of which few digits are shown
                yield from (one for one in ast.walk(node) if isinstance(one, ast.IfExp) and _is_text(one.body))
                yield from (one for one in ast.walk(node) if isinstance(one, ast.Constant) and _is_large(one.value))
            case ast.If() if last_name(node.test) == "TYPE_CHECKING":
                yield from node.body
            case ast.Raise():
                yield from _formatted(node)
            case ast.Call() if last_name(node.func) in _WORDS:
                yield from _formatted(node)
            case ast.Assign() if isinstance(node.value, ast.BinOp) and _is_union_of_types(node.value):
                yield node


def _formatted(node: ast.AST) -> Iterator[ast.expr]:
    for below in ast.walk(node):
        if isinstance(below, ast.JoinedStr):
            yield below
        elif isinstance(below, ast.BinOp) and any(_is_text(side) for side in (below.left, below.right)):
            yield below
        elif isinstance(below, ast.IfExp) and (_is_text(below.body) or _is_text(below.orelse)):
            yield below


def _is_large(value: object) -> bool:
    """Whether one more or less changes a number by less than the six digits that texts have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 1e5


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_union_of_types(node: ast.BinOp) -> bool:
    """`Name | Name | None` at the top of a module: an alias of types."""
    if not isinstance(node.op, ast.BitOr):
        return False
    sides = [node.left, node.right]
    if isinstance(node.left, ast.BinOp):
        return _is_union_of_types(node.left)
    return all(
        (isinstance(side, ast.Name) and (side.id[:1].isupper() or hasattr(builtins, side.id)))
        or isinstance(side, ast.Subscript)
        or (isinstance(side, ast.Constant) and side.value is None)
        for side in sides
    )


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name, also of a call; empty where there is none."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
