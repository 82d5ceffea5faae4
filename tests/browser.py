"""The browser of the tests: skips where there is none, photographs where a folder is named."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from trials import chromium as headless
from trials.chromium import DESK, PHONE, problems, set_scheme, set_width

__all__ = ["DESK", "PHONE", "chromium", "photograph", "problems", "set_scheme", "set_width"]


@contextmanager
def chromium(profile):
    """A browser with an empty profile in that folder; skips the test where there is none."""
    reason = headless.missing()
    if reason:
        pytest.skip(reason)
    with headless.chromium(profile) as driver:
        yield driver


def photograph(driver, name):
    """The whole page as PNG in the folder that SCREENSHOTS names, if it does."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        width = driver.execute_script("return window.innerWidth")
        headless.photograph(driver, Path(folder) / f"{name}-{width}.png")
