"""The documentation: its code runs, its commands exist, its site builds without a warning."""

import contextlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from imssa_lab.cli import app
from protocols.deployment.sequences import Sequences
from tests.docs import prepared
from tests.docs.code_blocks import PAGES, ROOT, blocks, commands

BEFORE = {
    "docs/howto/calibrate-and-program.md": prepared.station,
    "docs/howto/chip-in-the-loop.md": prepared.deployed,
    "docs/log_format.md": prepared.log_format,
    "docs/programming.md": prepared.programming,
    "docs/record.md": prepared.a_run,
    "docs/supert_a0.md": prepared.supert,
    "docs/tasks.md": prepared.tasks,
    "docs/training.md": prepared.training,
    "docs/howto/frameworks.md": prepared.frameworks,
}
SHORTER = {"train": ["--epochs-float", "1", "--epochs-quantised", "1"]}
"""Options that a test adds to a command of a page, so that it ends soon; what a model then reaches is no matter."""
UsageError = typer.BadParameter.__base__
EXIT_CODES = {"deploy": (0, 3), "program": (0, 3)}  # a model of one epoch may fail a level, a cell may be stuck


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.kind in ("python", "sh") for b in blocks(page))])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    if page == "README.md":
        pytest.skip("tests/test_package.py runs it, and its replay")
    monkeypatch.chdir(tmp_path)
    prepare = BEFORE.get(page)
    names = {}
    if prepare is not None:
        takes_patch = len(inspect.signature(prepare).parameters) > 1
        names = prepare(tmp_path, monkeypatch) if takes_patch else prepare(tmp_path)
    names["__name__"] = "page"
    for block in blocks(page):
        if block.kind == "python":
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
        elif block.kind == "sh":
            for line in block.text.splitlines():
                run(shlex.split(line, comments=True))


def run(words):
    """A line of a shell block: a command of ours in this process, or one of the few others that pages use."""
    if words[:1] == ["imssa"]:
        result = CliRunner().invoke(app, [*words[1:], *SHORTER.get(words[1], [])])
        assert result.exit_code in EXIT_CODES.get(words[1], (0,)), result.output
        if words[1] == "train":
            fewer_sequences(words[words.index("--file") + 1])
    elif words[:3] == ["pip", "install", "-e"]:  # into the page's folder: the environment of the tests stays as it is
        offline = ["--no-deps", "--no-index", "--no-build-isolation", "--target", "site"]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *offline, f"./{words[3]}"], check=True)
    elif words[:1] == ["pytest"]:
        there = os.environ | {"PYTHONPATH": str(Path("site").absolute())}
        subprocess.run([sys.executable, "-m", "pytest", "-q", *words[1:]], check=True, env=there)
    elif words:
        assert words[0] == "mkdir"
        subprocess.run(words, check=True)


def fewer_sequences(bundle):
    """So that the deployment after it is quick."""
    path = Path(bundle).with_name("sequences.npz")
    whole = Sequences.load(path)
    path.unlink()
    kept = whole.calibration_inputs[:4], whole.test_inputs[:20], whole.test_labels[:20]
    Sequences(*kept, whole.reference).save(path)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist_with_their_options(page):
    root = typer.main.get_command(app)
    for line, words in commands(page):
        words = ["x" if word == "..." else word for word in words[1:]]
        with contextlib.ExitStack() as stack:
            where = f"{page}, line {line}: imssa {' '.join(words)}"
            parse(root, words, stack, where)


def parse(command, words, stack, where, parent=None):
    """Read the words as the command line would, and run nothing."""
    if words == ["--help"]:
        return
    if hasattr(command, "commands"):
        assert words, where
        assert words[0] in command.commands, f"{where}: no such command"
        context = stack.enter_context(typer.Context(command, info_name="imssa", parent=parent))
        parse(command.commands[words[0]], words[1:], stack, where, context)
        return
    try:
        command.make_context(command.name, list(words), parent=parent)
    except UsageError as error:
        if "Missing option" in error.format_message() and "x" in words:
            return  # shortened by ... in the text
        raise AssertionError(f"{where}: {error.format_message()}") from error


def verbs(command, name="imssa"):
    for child, sub in getattr(command, "commands", {}).items():
        if hasattr(sub, "commands"):
            yield from verbs(sub, f"{name} {child}")
        else:
            yield f"{name} {child}", sub


@pytest.mark.parametrize(("name", "command"), list(verbs(typer.main.get_command(app))))
def test_every_command_has_help_with_an_example_that_fits_it(name, command):
    shown = CliRunner().invoke(app, [*name.split()[1:], "--help"])
    assert shown.exit_code == 0
    text = " ".join(command.help.split())
    example = text.partition("Example: ")[2]
    assert example.startswith(name)
    with contextlib.ExitStack() as stack:
        parse(typer.main.get_command(app), shlex.split(example)[1:], stack, name)


@pytest.mark.parametrize(("name", "command"), list(verbs(typer.main.get_command(app))))
def test_the_help_of_a_command_fits_a_terminal(name, command, monkeypatch):
    """No option and no default is cut short on 80 columns."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    shown = CliRunner().invoke(app, [*name.split()[1:], "--help"]).stdout
    assert "─" in shown
    assert "…" not in shown
    for parameter in command.params:
        for option in parameter.opts if parameter.param_type_name == "option" else []:
            assert option in shown


def test_options_mean_the_same_everywhere():
    """Where a word is an option of several verbs, it takes the same kind of value; arrays are given one way.

    --layers alone takes two: how many layers a new net has, and which layers of a net go on arrays.
    """
    kinds, arguments = {}, set()
    for _, command in verbs(typer.main.get_command(app)):
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                arguments.add(parameter.name)
                continue
            for option in parameter.opts:
                kinds.setdefault(option, set()).add(parameter.type_descriptor.annotation)
    assert [option for option, found in kinds.items() if len(found) > 1] == ["--layers"]
    assert not arguments & {"address", "array", "out"}


def test_a_command_that_is_not_there_is_found():
    root = typer.main.get_command(app)
    for words, said in ((["trian"], "no such command"), (["report", "r.h5", "--colour", "x"], "--colour")):
        with contextlib.ExitStack() as stack, pytest.raises(AssertionError, match=said):
            parse(root, words, stack, "here")


def test_architecture_names_files_and_folders_that_exist():
    """And every folder of the packages, so that a new one is not forgotten."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    page = page.replace("imssa_lab.", "imssa_lab/")
    named = {name.rstrip("/") for name in re.findall(r"`([\w./]+(?:\.py|/))`", page)}
    packages = [ROOT / name for name in ("imssa_lab", "twin", "drivers", "protocols")]
    paths = {path.relative_to(ROOT).as_posix() for top in packages for path in [top, *top.rglob("*")]}
    unknown = {name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in paths)}
    assert unknown == {"bench", "tests/contract"} & unknown
    folders = {path.rpartition("/")[0] for path in paths if path.endswith("/__init__.py") and path.count("/") == 2}
    told = {folder for folder in folders if any(f"/{folder}".endswith(f"/{name}") for name in named)}
    assert {folder for folder in folders - told if f"{folder}/" not in page and f"{folder}`" not in page} == set()


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason='pip install "imssa-lab[docs]"')
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "site/reference/cli.html").read_text()
    for name in typer.main.get_command(app).commands:
        assert f"imssa {name}" in shown
    assert "apply_pulses" in (tmp_path / "site/reference/api.html").read_text()
