"""Pictures of the documentation: drawn from what they show, readable on a phone, and on a dark page."""

import re
import runpy
from xml.etree import ElementTree

import numpy as np
import pytest

from tests import browser
from tests.docs.code_blocks import ROOT
from twin import TwinProfile, preset_names

PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
PHONE_COLUMN = 348
"""px that a phone of 380 has for a picture beside the page's margins."""
PX_OF_PT = 96 / 72
ORDINARY, EXPONENT = 10.0, 8.0
"""px: the smallest text, and the smallest exponent at a tick."""


def drawing():
    pytest.importorskip("matplotlib", reason='pip install "imssa-lab[plot]"')
    return runpy.run_path(str(ROOT / "docs/profiles/draw.py"))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_page_with_its_curves(name):
    page = (ROOT / f"docs/profiles/{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    assert f"profiles/{name}.md\n" in (ROOT / "mkdocs.yml").read_text()
    draw = drawing()
    assert name in draw["NAMES"]
    panels = draw["panels_of"](TwinProfile.load(name))
    assert re.findall(rf"\]\(({name}-[^)]*\.svg)\)", page) == [draw["picture_of"](name, one) for one in panels]


def test_no_picture_is_missing_or_left_over():
    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    assert {name.rpartition("/")[2] for name in re.findall(r"\]\(([^)]*\.svg)\)", text)} == {
        path.name for path in PICTURES
    }


@pytest.mark.pictures
def test_curves_are_drawn_from_the_profile_alone(tmp_path):
    """The quickest of them; boards take minutes."""
    drawing()["draw"](TwinProfile.load("ideal"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert "raw product" in (tmp_path / "ideal-products.svg").read_text()


def pixels(length):
    """A width in the file, as px."""
    return float(length.removesuffix("pt")) * (PX_OF_PT if length.endswith("pt") else 1.0)


def sizes(path):
    """The sizes of all text, px on a phone: (ordinary, powers of ten)."""
    root = ElementTree.parse(path).getroot()
    wide, units = pixels(root.attrib["width"]), float(root.attrib["viewBox"].split()[2])
    scale, parts = min(wide, PHONE_COLUMN) / units, {True: "", False: ""}
    for piece in re.split(r"(<tspan [^>]*>)", path.read_text(encoding="utf-8")):  # powers of ten are made of these
        parts[piece.startswith("<tspan")] += piece
    size = r"font(?:-size)?: ?(?:[a-z0-9]+ )?([\d.]+)px"
    return tuple([scale * float(found) for found in re.findall(size, parts[raised])] for raised in (False, True))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_text_has_a_size_that_a_phone_shows(path):
    ordinary, exponents = sizes(path)
    assert ordinary, "text drawn as outlines has no size, and cannot be searched"
    assert min(ordinary) >= ORDINARY
    assert min(exponents, default=EXPONENT) >= EXPONENT


def test_small_text_is_found(tmp_path):
    """Six panels in one picture, as they were: on a phone a line of 9 points is as high as one of 3.5."""
    path = tmp_path / "wide.svg"
    words = '<text style="font: 9px sans">x</text>'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="669.6pt" viewBox="0 0 669.6 9">{words}</svg>')
    assert min(sizes(path)[0]) == pytest.approx(4.7, abs=0.1)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_no_paper_and_dark_colours(path):
    text = path.read_text(encoding="utf-8")
    assert "@media (prefers-color-scheme: dark)" in text.replace("scheme:dark", "scheme: dark")
    assert not re.search(r'(?:fill|stroke)(?:: |=")(?:#fff|white|#000|black)', text)
    assert not re.search(r"<text(?![^>]*(?:class|fill: var))[^>]*style", text)


def test_pictures_take_the_colours_of_the_page_and_not_of_the_system(tmp_path):
    """Who switches a page to dark colours on a system with light ones, or the other way round."""
    images = pytest.importorskip("matplotlib.image", reason='pip install "imssa-lab[plot]"')
    rules, picture = ((ROOT / "docs/images" / name).as_uri() for name in ("pages.css", "array.svg"))
    dark = {}
    with browser.chromium(tmp_path / "profile") as driver:
        browser.set_width(driver, browser.PHONE)
        for system in ("light", "dark"):
            browser.set_scheme(driver, system)
            for page in ("default", "slate"):
                (tmp_path / "page.html").write_text(
                    f'<link rel=stylesheet href="{rules}"><body style="background: #808080" '
                    f'data-md-color-scheme={page}><div class=md-typeset><img src="{picture}"></div>'
                )
                driver.get((tmp_path / "page.html").as_uri())
                driver.save_screenshot(str(tmp_path / "seen.png"))
                seen = images.imread(tmp_path / "seen.png")[..., :3].min(axis=-1)
                dark[system, page] = np.count_nonzero(seen < 0.2) > np.count_nonzero(seen > 0.85)  # its boxes
    assert dark == {(system, page): page == "slate" for system in ("light", "dark") for page in ("default", "slate")}
