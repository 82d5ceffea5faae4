"""What users import: from `imssa_lab` alone, each name documented, in the bench scripts and the documentation too."""

import ast
import inspect
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import imssa_lab
from imssa_lab.contract.stub_names import homes_in_stub
from tests.docs.code_blocks import PAGES, blocks
from trials.electrodes.serial_ports import skip_without_serial_ports

ROOT = Path(__file__).parents[1]
OURS = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[!.]*/**/*.py")}
BENCH = sorted((ROOT / "bench").glob("*.py"))
API = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")


def other_imports(code):
    """Modules of ours that the code imports, `imssa_lab` itself left out."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return {name for name in found if name != "imssa_lab" and (name[0] == "." or name.partition(".")[0] in OURS)}


def test_other_imports_are_found():
    assert {"imssa_lab", "drivers", "protocols", "tests", "twin"} <= OURS
    assert other_imports("import numpy as np\nfrom imssa_lab import open_array\nimport imssa_lab") == set()
    assert other_imports("def f():\n    from twin.profile import TwinProfile") == {"twin.profile"}
    assert other_imports("import imssa_lab.log\nimport protocols as p\nfrom . import x") == {
        "imssa_lab.log",
        "protocols",
        ".",
    }


@pytest.mark.parametrize("script", BENCH, ids=lambda path: path.name)
def test_bench_scripts_import_from_imssa_lab_alone(script):
    code = script.read_text(encoding="utf-8")
    assert "imssa_lab" in code
    assert other_imports(code) == set()


def test_the_documentation_imports_from_imssa_lab_alone():
    python = {page: [block for block in blocks(page) if block.kind == "python"] for page in PAGES}
    assert sum(map(len, python.values())) > 15
    found = {f"{page}:{block.line}": other_imports(block.text) for page in PAGES for block in python[page]}
    assert {where: names for where, names in found.items() if names} == {}


@pytest.mark.parametrize("name", imssa_lab.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = loaded(name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        inherited = [base.__doc__ for base in getattr(value, "__mro__", ())[1:]]
        assert value.__doc__
        assert value.__doc__ not in inherited
        assert not value.__doc__.startswith(f"{name}(")  # what dataclasses write where there is nothing
    else:
        assert name in described_constants(imssa_lab._HOME_OF[name])


def loaded(name):
    """What the name stands for; PyMeasure asks for serial ports where it is loaded."""
    if name == "PyMeasureArray":
        skip_without_serial_ports()
    return getattr(imssa_lab, name)


def described_constants(home):
    """Constants with a docstring, in the files of a package or in a module."""
    where = ROOT.joinpath(*home.split("."))
    found = set()
    for path in where.glob("*.py") if where.is_dir() else [where.with_suffix(".py")]:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, after in pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("name", imssa_lab.__all__)
def test_every_public_name_is_in_the_reference(name):
    value = loaded(name)
    if inspect.isclass(value) and issubclass(value, imssa_lab.ImssaError):
        assert f"| `{name}` |" in (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    else:
        assert f"::: imssa_lab.{name}\n" in API or f"[`{name}`](pictures.md" in API


def taking_paths():
    """Public functions and methods with their annotations of paths."""
    for name in imssa_lab.__all__:
        one = getattr(imssa_lab, name)
        calls = [(name, one)] if inspect.isfunction(one) else []
        if inspect.isclass(one):
            calls = [(f"{name}.{key}", getattr(one, key)) for key in vars(one) if key[0] != "_" or key == "__init__"]
        for call, what in calls:
            if callable(what) and call != "RunLog.__init__":  # logs are made by `RunLog.create`
                for part in inspect.signature(what).parameters.values():
                    if re.search(r"\bPath\b", str(part.annotation)):
                        yield call, part.name, str(part.annotation)


def test_a_file_may_be_named_by_a_word_wherever_a_path_is_taken():
    found = list(taking_paths())
    assert len(found) > 20
    assert [one for one in found if not re.search(r"\bstr\b", one[2])] == []


def test_the_reference_names_nothing_that_is_not_public():
    named = {line.removeprefix("::: imssa_lab.") for line in API.splitlines() if line.startswith("::: ")}
    assert named - {"contract.testing.suite.ContractSuite"} <= set(imssa_lab.__all__)


def test_the_stub_holds_nothing_but_what_is_imported():
    """A name that is not re-exported (`import x as x`) would be there for Python and missing for a type checker."""
    stub = ast.parse((ROOT / "imssa_lab/__init__.pyi").read_text(encoding="utf-8"))
    for statement in stub.body:
        if isinstance(statement, ast.ImportFrom):
            assert [name.asname for name in statement.names] == [name.name for name in statement.names]
            assert statement.level == 0
        else:
            assert isinstance(statement, ast.AnnAssign)
    assert homes_in_stub(imssa_lab.__file__)["deploy"] == "protocols.deployment.deployment"
    assert set(imssa_lab.__all__) <= set(dir(imssa_lab))


def test_import_loads_nothing_heavy():
    heavy = ("torch", "h5py", "pyvisa", "serial", "matplotlib", "sklearn", "xarray", "scipy", "pandas", "numpy")
    code = f"import sys, imssa_lab; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'recrod'"):
        imssa_lab.recrod
