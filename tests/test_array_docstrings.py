"""Public functions with arrays say in their docstring, or in that of their class, which shape or unit these have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_ARRAYS = {"FloatArray", "BoolArray", "IntArray", "CodeArray", "ArrayLike", "NDArray"}
_SAID = re.compile(
    r"\((?:[\w .*+-]+,)+[\w .*+-]*\)"  # a shape: (n, cols), (kernels,)
    r"|(?<!\w)(?:S|V|s|Hz|K|ohm)(?![\w'])|\bin A\b|, A\b|\bA[,;.)]"  # a unit, and not the article
    r"|\bshapes?\b|\bseconds\b|\bfractions?\b"
)


def silent(code: str) -> Iterator[str]:
    """Public functions of a module, with arrays, of which no docstring names a shape or a unit."""

    def named(annotation: ast.expr | None) -> set[str]:
        return set() if annotation is None else set(re.findall(r"\w+", ast.unparse(annotation)))

    def within(body: list[ast.stmt], said: str, owner: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from within(node.body, ast.get_docstring(node) or "", f"{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (node.name == "__call__" or not node.name.startswith("_")):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                used = named(node.returns).union(*(named(one.annotation) for one in arguments))
                if used & _ARRAYS and not _SAID.search(f"{ast.get_docstring(node) or ''}\n{said}"):
                    yield f"{owner}{node.name}"

    return within(ast.parse(code).body, "", "")


def test_every_public_function_with_arrays_says_their_shape_or_unit() -> None:
    files = [path for top in ("imssa_lab", "protocols", "twin", "drivers") for path in (ROOT / top).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT)}: {name}" for path in files for name in silent(path.read_text(encoding="utf-8"))
    }
    assert len(files) > 200
    assert found == set()


def test_the_check_can_fail() -> None:
    take = "def f(x: {kind}) -> {gives}:\n    '''{said}'''\n"
    for kind, gives in (("FloatArray", "None"), ("int", "NDArray[np.bool_]"), ("list[FloatArray] | None", "int")):
        for said in ("A mean of values.", "", "The mean (see below)."):
            assert list(silent(take.format(kind=kind, gives=gives, said=said))) == ["f"]
        for said in ("Volts, V.", "Values (n, rows).", "Sums, (cols,).", "Of the same shape.", "Currents in A."):
            assert list(silent(take.format(kind=kind, gives=gives, said=said))) == []
    assert list(silent(take.format(kind="float", gives="None", said=""))) == []
    assert list(silent("class C:\n    '''S, (rows, cols).'''\n    def f(self, x: FloatArray): ...\n")) == []
    assert list(silent("class C:\n    '''Cells.'''\n    def f(self, x: FloatArray): ...\n")) == ["C.f"]
