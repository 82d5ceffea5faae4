"""The report in a browser: on a phone, on a screen, on paper."""

import base64

import pytest

from imssa_lab.report.run_report import write_report
from tests import browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("width", [browser.PHONE, browser.DESK])
@pytest.mark.parametrize("which", ["deployed", "night"])
def test_a_report_shows_without_errors_and_fits(driver, which, width, request, tmp_path):
    path = tmp_path / f"{which}.html"
    write_report(request.getfixturevalue(which), path)
    browser.set_width(driver, width)
    driver.get(path.as_uri())
    browser.photograph(driver, which)
    assert browser.problems(driver) == []
    assert driver.execute_script("return document.querySelector('.verdict').getBoundingClientRect().top") < 200


def test_a_number_leads_to_its_record(driver, night, tmp_path):
    write_report(night, tmp_path / "night.html")
    driver.get((tmp_path / "night.html").as_uri())
    link = driver.find_element("css selector", ".verdict a")
    number = link.get_attribute("href").partition("#")[2]
    link.click()
    assert driver.execute_script("return document.querySelector(':target').id") == number


def test_the_page_prints(driver, night, tmp_path):
    write_report(night, tmp_path / "night.html")
    driver.get((tmp_path / "night.html").as_uri())
    paper = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert paper.startswith(b"%PDF")
    assert len(paper) > 20_000


def test_what_overflows_or_fails_is_found(driver, tmp_path):
    (tmp_path / "bad.html").write_text(
        "<p style='width:2000px'>wide</p><img alt=gone src=none.png><script>nothing()</script>"
    )
    browser.set_width(driver, browser.PHONE)
    driver.get((tmp_path / "bad.html").as_uri())
    found = " ".join(browser.problems(driver))
    for word in ("P.", "the page", "no picture: gone", "nothing is not defined"):
        assert word in found
