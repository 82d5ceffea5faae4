"""The public names of a package from its stub file, so that they are listed once."""

from __future__ import annotations

import ast
from pathlib import Path


def homes_in_stub(init_file: str) -> dict[str, str]:
    """The module that each name is imported from in the stub (.pyi) beside an `__init__` file."""
    stub = ast.parse(Path(init_file).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [statement for statement in stub.body if isinstance(statement, ast.ImportFrom)]
    return {name.asname or name.name: statement.module or "" for statement in imports for name in statement.names}
