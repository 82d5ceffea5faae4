"""The notebook of the documentation: kept without outputs, runs from the first cell to the last, says what is so."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.docs.code_blocks import ROOT

nbformat = pytest.importorskip("nbformat", reason='nbformat is missing: pip install "imssa-lab[dev]"')
nbclient = pytest.importorskip("nbclient", reason='nbclient is missing: pip install "imssa-lab[dev]"')
pytest.importorskip("ipykernel", reason='ipykernel is missing: pip install "imssa-lab[notebook]"')
NOTEBOOK = ROOT / "docs/first_afternoon.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(notebook, tmp_path_factory):
    """The notebook as it is after a run in an empty folder, with the `imssa` of this Python before all others."""
    done = nbformat.from_dict(notebook)
    folder = tmp_path_factory.mktemp("afternoon")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        place = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(done, timeout=100, kernel_name="python3", resources=place).execute()
    return done


def outputs(done):
    return [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]


def said(done):
    return "".join(output.text for output in outputs(done) if output.output_type == "stream")


def test_it_is_kept_without_outputs_and_needs_no_magic(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 8
    for cell in code:
        assert not cell.outputs
        assert cell.execution_count is None
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE)


def test_what_it_links_to_is_there(notebook):
    links = re.findall(r"\]\(([^)]+)\)", "".join(cell.source for cell in notebook.cells))
    assert len(links) > 3
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []


def test_it_runs_with_pictures_and_the_widget(executed):
    kinds = [set(output.get("data", ())) for output in outputs(executed)]
    assert sum("image/png" in kind for kind in kinds) == 4
    assert any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds)
    assert not [output for output in outputs(executed) if output.get("name") == "stderr"]


def test_the_last_look_of_the_live_picture_is_that_of_the_record(executed):
    """Both count the cells of the same run: the live one by the last readings, the other by the report."""
    words = said(executed)
    live, counted = re.search(r"ended; .* of (\d+) cells", words), re.search(r"of (\d+) cells within", words)
    assert live[1] == counted[1] == str(24 * 23)
    assert re.search(r"(\d+) of 552 cells within 10.0 µS by re-read", words)


def test_its_products_are_far_from_the_null_control(executed):
    right, shuffled = map(float, re.findall(r":\s+([\d.]+)%$", said(executed), re.MULTILINE))
    assert right < 15
    assert shuffled > 100
