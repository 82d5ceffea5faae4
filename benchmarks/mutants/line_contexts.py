"""A pytest plugin that notes which test executes which line, and how long each test takes.

Coverage.py's context is the test, or the fixture while one is set up: a fixture shared by several tests executes
its lines once, and all its tests depend on them. Processes that a test starts are measured under its name, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

CONTEXT = "MUTANTS_CONTEXT"
FIXTURE = "fixture "


class LineContexts:
    """Switches the context of a running measurement; `write` stores times and fixtures of the tests that passed."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._fixtures: dict[str, list[str]] = {}
        self._current = ""

    def _switch(self, context: str) -> None:
        self._current = context
        self._measured.switch_context(context)
        os.environ[CONTEXT] = context

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """The context of a test, from its set-up to its end."""
        fixtures = getattr(item, "_fixtureinfo", None)
        defined = fixtures.name2fixturedefs if fixtures else {}
        self._fixtures[item.nodeid] = [_fixture_name(one[-1]) for one in defined.values() if one]
        self._switch(item.nodeid)
        try:
            return (yield)
        finally:
            self._switch("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        """The context of a fixture that outlives its test."""
        before = self._current
        if fixturedef.scope != "function":
            self._switch(FIXTURE + _fixture_name(fixturedef))
        try:
            return (yield)
        finally:
            self._switch(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Times add up over set-up, call and end."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def write(self, where: Path) -> None:
        """`{"seconds": {test: s}, "fixtures": {test: [fixture]}, "failed": [test]}`, failed or skipped ones apart."""
        passed = {test: seconds for test, seconds in self._seconds.items() if test not in self._failed}
        fixtures = {test: self._fixtures[test] for test in passed}
        where.write_text(json.dumps({"seconds": passed, "fixtures": fixtures, "failed": sorted(self._failed)}))


def _fixture_name(fixturedef: Any) -> str:
    return f"{fixturedef.baseid}::{fixturedef.argname}"
