"""Another `twin`, `drivers` or `protocols` in the way of ours: which file it is and what to do is said at once.

Each case is a process of its own in a folder of its own, as a user would meet it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imssa_lab.contract.own_packages import needed_by

ROOT = Path(__file__).parents[1]
OURS = ("imssa_lab", "drivers", "protocols", "twin")
FOREIGN = "print('the other one ran')\n"

TWIN = 'from imssa_lab import open_array; open_array("twin:ideal?shape=4x4").close(); print("open" + "ed")'
BOARD = 'from imssa_lab import open_array; open_array("serial+supert-a0:/dev/nowhere?array=0")'
DEPLOY = 'from imssa_lab import deploy; print("import" + "ed")'
GOOD = {TWIN: "opened", BOARD: "/dev/nowhere: no such port", DEPLOY: "imported"}
"""What each script says where nothing hides our packages, in words that a traceback of its lines does not show."""


def python(code, folder, *, script="measure.py", path=(str(ROOT),)):
    """Run a script in a folder, or with -c where it has no name; what it said, on both streams together."""
    if script:
        (folder / script).write_text(code)
    command = [sys.executable, *([script] if script else ["-c", code])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def put(folder, *files):
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FOREIGN if path.suffix == ".py" else "1, 2, 3\n")


def installed(folder):
    """Our packages in a folder, as a wheel leaves them there."""
    for name in OURS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def distribution(folder, name, *files):
    """Another distribution that is installed there."""
    put(folder, *files)
    about = folder / f"{name}-0.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.mark.parametrize(
    ("files", "code", "hidden"),
    [
        (["twin.py"], TWIN, "twin"),
        (["twin/__init__.py"], TWIN, "twin"),
        (["protocols.py"], TWIN, "protocols"),
        (["protocols.py"], DEPLOY, "protocols"),
        (["drivers/__init__.py", "drivers/mine.py"], BOARD, "drivers"),
    ],
)
def test_what_hides_a_package_is_named(files, code, hidden, tmp_path):
    put(tmp_path, *files)
    said = python(code, tmp_path)
    assert f"ConfigError: {tmp_path / files[0]} hides the package '{hidden}' of imssa_lab ({ROOT / hidden})" in said
    assert "rename it, or run Python from another folder" in said
    assert "the other one ran" not in said


def test_what_lies_where_c_was_started(tmp_path):
    put(tmp_path, "twin.py")
    assert f"{tmp_path / 'twin.py'} hides the package 'twin'" in python(TWIN, tmp_path, script="")


@pytest.mark.parametrize("code", GOOD)
def test_nothing_is_in_the_way(code, tmp_path):
    """The null control. Python prefers a package with an `__init__` to a folder without one that comes before it."""
    put(tmp_path, "twins.py", "twin/run.csv", "drivers/notes.txt", "protocols/notes.txt")
    said = python(code, tmp_path)
    assert GOOD[code] in said
    assert "hides" not in said


@pytest.mark.parametrize(("file", "code"), [("twin.py", BOARD), ("drivers.py", TWIN), ("twin.py", DEPLOY)])
def test_what_is_not_needed_may_be_hidden(file, code, tmp_path):
    put(tmp_path, file)
    assert GOOD[code] in python(code, tmp_path)


def test_a_script_with_the_name_of_a_package_is_not_run_twice(tmp_path):
    said = python(FOREIGN + TWIN, tmp_path, script="twin.py")
    assert f"{tmp_path / 'twin.py'} hides the package 'twin'" in said
    assert said.count("the other one ran") == 1


def test_another_module_that_was_imported_before(tmp_path):
    put(tmp_path, "twin.py")
    assert f"{tmp_path / 'twin.py'} hides the package 'twin'" in python("import twin; " + TWIN, tmp_path)
    assert "module twin hides" in python(
        "import sys, types; sys.modules['twin'] = types.ModuleType('twin'); " + TWIN, tmp_path
    )


def test_a_folder_without_init_hides_an_editable_installation(tmp_path):
    """Its finder comes last, so that the folder, which is a namespace package, is found before it."""
    finder = f"""
import sys
from importlib.machinery import PathFinder
class Last:
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{str(ROOT)!r}]) if name in {OURS} else None
sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "__name__", "") != "_EditableFinder"] + [Last]
"""
    assert "opened" in python(finder + TWIN, tmp_path, path=())
    assert GOOD[BOARD] in python(finder + BOARD, tmp_path, path=())
    put(tmp_path, "drivers/notes.txt")
    assert "opened" in python(finder + TWIN, tmp_path, path=())
    assert f"{tmp_path / 'drivers'} hides the package 'drivers'" in python(finder + BOARD, tmp_path, path=())


def test_another_distribution_that_is_found_first(tmp_path):
    distribution(tmp_path / "site-packages", "drivers", "drivers/__init__.py")
    said = python(BOARD, tmp_path, path=(str(tmp_path / "site-packages"), str(ROOT)))
    assert "hides the package 'drivers'" in said
    assert "it belongs to the distribution drivers: pip uninstall drivers, then pip install" in said


def test_another_distribution_that_was_installed_over_ours(tmp_path):
    site = installed(tmp_path / "site-packages")
    assert GOOD[BOARD] in python(BOARD, tmp_path, path=(str(site),))
    distribution(site, "drivers", "drivers/__init__.py")
    said = python(BOARD, tmp_path, path=(str(site),))
    assert (
        f"{site / 'drivers' / '__init__.py'} is not that of imssa_lab: another distribution has overwritten" in said
    )
    assert "it belongs to the distribution drivers: pip uninstall drivers, then pip install" in said
    assert "the other one ran" not in said
    (site / "drivers" / "__init__.py").unlink()  # as pip does when it takes the other one away again
    said = python(BOARD, tmp_path, path=(str(site),))
    assert f"{site / 'drivers' / '__init__.py'} is missing" in said
    assert "pip install --force-reinstall" in said


def test_the_command_line_says_it_before_a_verb_begins(tmp_path):
    imssa = "import sys; sys.argv = ['imssa', *{}]; from imssa_lab.cli import main; main()"
    put(tmp_path, "twin.py")
    said = python(imssa.format(["serve", "supert-a0"]), tmp_path)
    assert said.startswith(f"imssa: {tmp_path / 'twin.py'} hides the package 'twin' of imssa_lab")
    assert "Traceback" not in said
    assert "the other one ran" not in said
    assert python(imssa.format(["--version"]), tmp_path).startswith("imssa ")
    (tmp_path / "twin.py").unlink()
    assert "fsdd" in python(imssa.format(["data", "list"]), tmp_path)


def test_what_each_public_name_needs_is_known(tmp_path):
    """The packages that come with the module of a public name are those that are looked at before it is imported."""
    code = """
import sys
import imssa_lab
from imssa_lab.contract.own_packages import ALL, needed_by
homes = {imssa_lab._HOME_OF[name]: name for name in imssa_lab.__all__}
for home, name in [*homes.items(), ("imssa_lab.report", "measured"), ("imssa_lab.report", "plots")]:
    getattr(imssa_lab, name)
    came = {module.partition(".")[0] for module in sys.modules} & set(ALL)
    if came != set(needed_by(home)):
        print(home, sorted(came), needed_by(home))
    for module in [module for module in sys.modules if module.partition(".")[0] in (*ALL, "imssa_lab")]:
        if module not in ("imssa_lab", "imssa_lab.contract.own_packages", "imssa_lab.contract.errors"):
            del sys.modules[module]
print("asked", len(homes))
"""
    said = python(code, tmp_path)
    assert said.startswith("asked ")
    assert int(said.split()[1]) > 3


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("twin", ("protocols", "twin")),
        ("twin.profiles.profile", ("protocols", "twin")),
        ("drivers.keithley", ("drivers", "protocols")),
        ("imssa_lab.station", ("protocols",)),
        ("imssa_lab", ()),
        ("numpy", ()),
    ],
)
def test_what_comes_with_a_module(module, needed):
    assert needed_by(module) == needed
