"""What all tests share: small models, pictures of reports that nobody looks at, serial ports that a program plays."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.operating_system import NO_PSEUDO_TERMINALS, PSEUDO_TERMINALS
from imssa_lab.s4d.bundle import KernelBundle
from trials.untrained import untrained_bundle, varied_sequences

UNDRAWN = ("cli", "docs")
"""Folders whose tests run whole commands; they leave reports, whose pictures take longer than all else."""


def pytest_configure() -> None:
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN:
        raise pytest.UsageError(
            "SIGHUP is ignored here, as under nohup; tests of closed terminals would hang: use setsid or tmux"
        )


@pytest.fixture(scope="session")
def bundle() -> KernelBundle:
    return untrained_bundle()


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of reports are composed, but not drawn, unless a test is marked `pictures`."""
    inside = request.path.relative_to(Path(__file__).parent).parts[0]
    if inside in UNDRAWN and "pictures" not in request.keywords:
        empty = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3"/>'
        monkeypatch.setattr("imssa_lab.report.svg.svg_for_pages", lambda figure: empty)


@pytest.fixture(scope="session")
def sequences() -> np.ndarray:
    """(64, 12, 4), within [-1, 1]."""
    return varied_sequences(7)


def _skipping_without_terminals() -> Iterator[None]:
    try:
        return (yield)
    except ConfigError as error:
        if PSEUDO_TERMINALS or not str(error).startswith(NO_PSEUDO_TERMINALS):
            raise
        pytest.skip(NO_PSEUDO_TERMINALS)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
    """A fixture that is a serial port."""
    return (yield from _skipping_without_terminals())


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> Iterator[None]:
    """A test that makes one itself."""
    return (yield from _skipping_without_terminals())
