"""The tests that pytest finds, without running them: for smoke runs, which ask whether the named tests exist."""

from __future__ import annotations

import contextlib
import io

import pytest


class _Found:
    """A pytest plugin that keeps the names of what was collected."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called once, after tests were deselected."""
        self.names = [item.nodeid for item in session.items]


def collected(*words: str) -> list[str]:
    """Names of the tests that these words of a command line choose, at least one.

    pytest runs in this process: what one call imported, the next has at hand.

    Raises:
        RuntimeError: pytest found no test, or could not read a file.
    """
    found, said = _Found(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *words], plugins=[found])
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest found no tests by {' '.join(words)}: {said.getvalue()[-500:]}")
    return found.names
