"""Headless Chromium for the pages that we make: opened at a width, asked for errors and overflow, photographed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESK = 380, 1400
_OVERFLOW = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")].filter(one => {
  const box = one.getBoundingClientRect();
  if (box.right <= wide + 1 || !box.width) return false;
  for (let up = one.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== "visible") return false;  // it scrolls by itself
  return true;
}).map(one => one.tagName + "." + one.className).concat(
  document.documentElement.scrollWidth > wide ? ["the page"] : []);
"""


def missing() -> str:
    """Why no browser can be driven here; empty where one can."""
    wanted = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"{' and '.join(wanted)} not installed (Debian: apt-get install chromium chromium-driver)" if wanted else ""
    )


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile in that folder; skips the test where there is none."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def set_width(driver: webdriver.Chrome, width: int) -> None:
    """Lay the page out as a screen of that width does, px."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def problems(driver: webdriver.Chrome) -> list[str]:
    """Errors on the console, pictures that did not load, and what reaches beyond the right edge."""
    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    broken = driver.execute_script("return [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)")
    return said + [f"no picture: {alt}" for alt in broken] + driver.execute_script(_OVERFLOW)


def photograph(driver: webdriver.Chrome, name: str) -> None:
    """The whole page as PNG in the folder that SCREENSHOTS names, if it does."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    height = driver.execute_script("return document.documentElement.scrollHeight")
    width = driver.execute_script("return window.innerWidth")
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.save_screenshot(str(Path(folder) / f"{name}-{width}.png"))
