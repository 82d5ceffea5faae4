"""Headless Chromium for the pages that we make: opened at a width, light or dark, asked for faults, photographed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from selenium import webdriver
from selenium.webdriver import Chrome
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
PHONE, TABLET, DESK = 380, 768, 1400
WIDTHS = (PHONE, TABLET, DESK)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
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
_CUT = """
const wide = document.documentElement.clientWidth;
const cut = [...document.querySelectorAll("figure img, figure svg, figure canvas")].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width && (box.right > wide + 1 || box.left < -1);  // also where it could be scrolled to
}).map(one => "cut picture: " + (one.alt || one.id));
for (const one of document.querySelectorAll("body *")) {
  const style = getComputedStyle(one);
  const hides = style.overflowX === "hidden" || style.overflowX === "clip" || style.textOverflow === "ellipsis";
  const shown = one.clientWidth > 1 && one.clientHeight > 1 && one.checkVisibility({ checkOpacity: true });
  const words = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (hides && shown && words && one.scrollWidth > one.clientWidth + 1)
    cut.push("cut text: " + one.textContent.trim().slice(0, 40));
}
return cut;
"""
_FAINT = """
const parts = colour => {  // red, green, blue, opacity, each 0 to 1
  const values = colour.match(/[\\d.]+(e-?\\d+)?/g).map(Number);
  const scale = colour.startsWith("rgb") ? 255 : colour.startsWith("color(srgb ") ? 1 : NaN;
  return [...values.slice(0, 3).map(v => v / scale), values.length > 3 ? values[3] : 1];
};
const over = (front, back) => back.slice(0, 3).map((v, i) => front[3] * front[i] + (1 - front[3]) * v);
const luminance = colour => {
  const [r, g, b] = colour.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = one => {  // what shines through is mixed
  if (!one) return [1, 1, 1];
  const own = parts(getComputedStyle(one).backgroundColor);
  return own[3] === 1 ? own.slice(0, 3) : over(own, behind(one.parentElement));
};
const ink = one => {
  const own = parts(getComputedStyle(one).color);
  for (let up = one; up; up = up.parentElement) own[3] *= Number(getComputedStyle(up).opacity);
  return own;
};
return [...document.querySelectorAll("body *")].filter(one => {
  if (!one.getBoundingClientRect().width || one.disabled) return false;
  if (!one.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) return false;
  if (![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())) return false;
  const back = behind(one), values = [luminance(over(ink(one), back)), luminance(back)].sort((a, b) => b - a);
  return !((values[0] + 0.05) / (values[1] + 0.05) >= 3);  // also where a colour is written in another way
}).map(one => "faint text: " + one.textContent.trim().slice(0, 40));
"""

_NOT_JUDGED = """
const wide = document.documentElement.clientWidth, all = [...document.querySelectorAll("body *")];
const words = one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
const scrolled = one => {
  for (let up = one.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== "visible") return true;
  return false;
};
return {
  "boxes beyond the edge inside a box that scrolls or hides": all.filter(
    one => one.getBoundingClientRect().right > wide + 1 && scrolled(one)).length,
  "texts of disabled controls": all.filter(one => words(one) && one.disabled).length,
  "texts that are not shown": all.filter(one => words(one) && !one.disabled &&
    !one.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })).length,
};
"""


def missing() -> str:
    """Why no browser can be driven here; empty where one can."""
    wanted = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"{' and '.join(wanted)} not installed (Debian: apt-get install chromium chromium-driver)" if wanted else ""
    )


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile in that folder; to be asked for only where none is `missing`."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    # A page may keep the colours in which it was last seen, also while it is being left.
    forget = {"source": "try { localStorage.clear() } catch (refused) {}"}  # some pages have no storage
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", forget)
    try:
        yield driver
    finally:
        driver.quit()


def set_width(driver: Chrome, width: int, height: int = 900) -> None:
    """Lay the page out as a screen of that size does, px."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def set_scheme(driver: webdriver.Chrome, scheme: Scheme) -> None:
    """Say that the reader wants light or dark pages, from the next page on."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _logged(driver: webdriver.Chrome) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return entries


def problems(driver: webdriver.Chrome) -> list[str]:
    """Errors on the console, pictures that did not load, what overflows, is cut, or is hardly seen."""
    said = [entry["message"] for entry in _logged(driver) if entry["level"] in ("SEVERE", "WARNING")]
    broken: list[str] = driver.execute_script(
        "return [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)"
    )
    found = said + [f"no picture: {alt}" for alt in broken]
    for asked in (_OVERFLOW, _CUT, _FAINT):
        found += driver.execute_script(asked)
    return found


def not_judged(driver: webdriver.Chrome) -> dict[str, int]:
    """What `problems` leaves out on the page in sight, by name: how many elements."""
    counts: dict[str, int] = driver.execute_script(_NOT_JUDGED)
    return counts


def photograph(driver: Chrome, path: Path) -> None:
    """The whole page, as PNG."""
    height = driver.execute_script("return document.documentElement.scrollHeight")
    set_width(driver, driver.execute_script("return window.innerWidth"), height)
    driver.save_screenshot(str(path))
