"""What a notebook shows for arrays, reports, profiles, runs and deployments."""

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from imssa_lab import open_array, open_run, record
from imssa_lab.contract.notebook import facts_html
from trials import tiny
from twin import TwinProfile


def text_of(shown):
    """Its text, if it is whole HTML and asks nothing of the network."""
    html = shown._repr_html_()
    assert "http" not in html
    assert "<script" not in html
    return " ".join(ElementTree.fromstring(html).itertext())


def test_a_session_shows_what_it_is_and_what_came_of_it(tmp_path):
    array = open_array("twin:supert-a0-easy?seed=3&shape=6x4")
    assert "word lines x bit lines 6 x 4" in text_of(array)
    assert "2 to 150 µS" in text_of(array.info)
    before = array.time
    with record(tmp_path / "run.h5", [array], {"chip": "<mine>"}) as (chip,), chip:
        text_of(chip)
        report = chip.program_conductances(np.full((6, 4), 50e-6))
    assert array.time > before
    shown = text_of(report)
    assert f"{100 * report.within():.2f} % of 24 cells" in shown
    assert "closed" in text_of(array)
    with open_run(tmp_path / "run.h5") as run:
        assert "<mine>" in text_of(run)
        assert "#009e73" in run._repr_html_()


def test_showing_asks_nothing_of_the_instrument(tmp_path):
    array = open_array("twin:supert-a0-easy?seed=3&shape=6x4")
    with record(tmp_path / "run.h5", [array], {}) as (chip,), chip:
        chip._repr_html_()
    with open_run(tmp_path / "run.h5") as run:
        assert [kind for kind, _ in run.events()] == ["make_safe", "close"]
        assert run.records("read_conductances") == 0


@pytest.mark.parametrize("name", ["supert-a0-easy", "ideal", "hfox-cmo"])
def test_a_profile_shows_its_sections(name):
    shown = text_of(TwinProfile.load(name))
    assert f"twin profile {name}" in shown
    assert "read noise" in shown


def test_a_deployment_shows_its_verdict():
    deployment = tiny.deployment()
    assert "deployment verified" in text_of(deployment)
    assert "#009e73" in deployment._repr_html_()


def test_texts_are_escaped():
    assert "<b>&lt;i&gt;</b>" in facts_html("<i>", [("a&b", "<script>")])
    assert "<script>" not in facts_html("<i>", [("a&b", "<script>")])


def test_tables_for_notebooks_load_nothing():
    code = "import sys, imssa_lab.contract.notebook; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
