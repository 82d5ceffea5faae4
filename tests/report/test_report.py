import json
import re
import shutil
import sys

import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import ConfigError
from imssa_lab.log import RunLog, open_run
from imssa_lab.report.run_report import report_page, write_report
from twin import DigitalTwin


def page_of(path):
    with open_run(path) as run:
        return report_page(run)


@pytest.fixture(scope="module")
def deployed_page(deployed):
    return page_of(deployed)


@pytest.fixture(scope="module")
def night_page(night):
    return page_of(night)


def test_the_page_needs_nothing_from_outside_and_escapes_what_it_shows(night_page):
    assert "&lt;night&gt; &amp; day" in night_page
    assert "&lt;b&gt;night" in night_page
    assert not re.search(r"https?://|<script|@import|src=\"(?!data:)|href=\"(?!#|data:)|url\(", night_page)


@pytest.mark.parametrize("which", ["deployed", "night"])
def test_every_link_leads_to_a_record_that_is_in_the_file(which, request):
    path = request.getfixturevalue(which)
    page = page_of(path)
    linked, told = set(re.findall(r'href="#r(\d+)"', page)), re.findall(r'<tr id="r(\d+)"', page)
    assert linked == set(told)
    assert len(told) == len(set(told)) > 10
    with open_run(path) as run:
        last = max(int(run.column(t, "seq")[-1]) for t in ("read_mvm", "program", "events"))
    assert all(int(number) <= last for number in told)


@pytest.mark.parametrize("which", ["deployed", "night"])
def test_no_measured_number_stands_without_its_record(which, request):
    page = page_of(request.getfixturevalue(which))
    tables = page[: page.index("<h2>Provenance")]
    values = re.findall(r'<td class="number">(.*?)</td>', tables, re.DOTALL)
    bare = [value for value in values if re.search(r"\d", value) and "<a href" not in value]
    # what is left are names: of kernels, chips, arrays, and of the figures of a level
    names = r"\d|layer \d.*|twin:.*|array \d+|[a-z]\w+"
    assert [value for value in bare if not re.fullmatch(names, value.strip())] == []
    assert len(values) > 40


def test_a_deployment_shows_its_verdict_first_then_levels_pictures_and_tables(deployed_page):
    order = ["<b>Verified.</b>", "95.0 %", "<h2>Four levels", "<h2>Pictures", "<h2>The deployment", "<h2>Programming"]
    order += ["<h2>Everything that was measured", "<h2>Provenance", "<h2>Records"]
    places = [deployed_page.index(text) for text in order]
    assert places == sorted(places)
    assert deployed_page.count("<img") >= 10


def test_a_failed_level_is_named_in_the_verdict(deployed, tmp_path, monkeypatch):
    from imssa_lab.report import measured

    real = measured.outcome_of

    def failing(run):
        outcome = real(run)
        outcome.result["levels"][2] |= {"passed": False, "verdict": "FAILED"}
        return outcome

    monkeypatch.setattr(measured, "outcome_of", failing)
    page = page_of(deployed)
    assert '<div class="verdict bad"><b>Not verified.</b>' in page
    assert "1 of 4 levels failed: kernel." in page


def test_a_session_that_only_programs_is_judged_by_its_last_readings(night_page):
    assert '<div class="verdict plain"><b>Programmed.</b>' in night_page
    assert "Cells that had to move, by their last reading: " in night_page
    for caption in (
        "against the pulses that they took",
        "Products against voltage times",
        "How columns were corrected",
    ):
        assert caption in night_page
    for caption in (
        "Noise of readings at even times",
        "How far they moved by themselves",
        "that took most pulses: what it held after each",
    ):
        assert caption in night_page


def test_a_run_whose_session_is_gone_is_not_called_finished(tmp_path):
    array = DigitalTwin("ideal", (4, 4))
    log = RunLog.create(tmp_path / "run.h5", [array], {})
    log.event("error", "LinkLost: the board vanished")
    shutil.copy(tmp_path / "run.h5", tmp_path / "cut.h5")
    log.close()
    for name in ("run", "cut"):
        page = page_of(tmp_path / f"{name}.h5")
        assert '<div class="verdict bad"><b>Not finished, so not verified.</b>' in page
        assert "LinkLost: the board vanished" in page


def test_an_interrupted_deployment_says_how_far_every_kernel_came(deployed, tmp_path):
    with open_run(deployed) as run:
        journal = [text for _, text in run.events("journal")]
    array = DigitalTwin("ideal", (16, 16))
    with RunLog.create(tmp_path / "run.h5", [array], {}) as log:
        log.event("journal", journal[0])
        log.event("error", "KeyboardInterrupt: ")
    page = page_of(tmp_path / "run.h5")
    kernels = json.loads(journal[0])["kernels"]
    assert page.count("nothing programmed") == len(kernels)
    with RunLog.create(tmp_path / "later.h5", [array], {}) as log:
        for text in journal:
            log.event("journal", text)
    page = page_of(tmp_path / "later.h5")
    assert page.count("programmed, not verified") == len(kernels)
    assert "nothing programmed" not in page


def test_a_run_without_programming_has_a_report_too(tmp_path):
    from imssa_lab.log import record

    with record(tmp_path / "r.h5", [DigitalTwin("ideal", (4, 4))], {}) as (array,), array:
        array.read_conductances()
    page = page_of(tmp_path / "r.h5")
    assert "Nothing was programmed." in page
    assert "<img" not in page


def test_progress_counts_the_pictures(deployed, tmp_path):
    told = []
    write_report(deployed, tmp_path / "page.html", progress=lambda done, total: told.append((done, total)))
    pictures = (tmp_path / "page.html").read_text().count("<figure")
    assert [done for done, _ in told] == [*range(pictures + 1), told[-1][1]]
    assert pictures <= told[-1][1]


def test_nothing_is_overwritten(night, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        write_report(night, path)
    assert path.read_text() == "mine"


def test_the_command_writes_beside_the_run_or_where_it_is_told(night, tmp_path):
    shutil.copy(night, tmp_path / "night.h5")
    done = CliRunner().invoke(app, ["report", str(tmp_path / "night.h5")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "night.html").read_text().startswith("<!doctype html>")
    again = CliRunner().invoke(app, ["report", str(tmp_path / "night.h5")])
    assert again.exit_code == 1
    assert "nothing was overwritten" in again.stderr
    missing = CliRunner().invoke(app, ["report", str(tmp_path / "no.h5"), "--file", str(tmp_path / "x.html")])
    assert missing.exit_code == 1
    assert not (tmp_path / "x.html").exists()


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    from imssa_lab.report.page import require_plots

    monkeypatch.setitem(sys.modules, "imssa_lab.report.plots", None)
    with pytest.raises(ConfigError, match=re.escape('pip install "imssa-lab[plot]"')):
        require_plots()
