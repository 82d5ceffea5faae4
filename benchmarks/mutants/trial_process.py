"""pytest in a forked child, with the heavy packages imported before: a trial starts in a tenth of a second.

The child never shares a module of the project with its parent, so it runs the code of the tree that it is in.
"""

from __future__ import annotations

import compileall
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_LEFT_OUT = (
    ".git",
    ".venv",
    ".make",
    "build",
    "dist",
    "*.egg-info",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
    ".hypothesis",
)
TIMED_OUT = -1


def import_heavy(names: Iterable[str]) -> None:
    """Import packages that most tests need, before any fork. One thread each: trials run side by side."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    for name in names:
        if find_spec(name.partition(".")[0]) is not None:
            import_module(name)


def private_copy(tree: Path, folder: Path) -> Path:
    """Copy `tree` to `folder`/tree, compile it to byte code, and return the copy.

    Unchanged files keep their time stamps, so that byte code and compiled loops stay valid.
    """
    copy = folder / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    compileall.compile_dir(copy, quiet=2)
    return copy


def in_child(tree: Path, caches: Path, action: Callable[[], int], log: Path, cpu_s: float, wall_s: float) -> int:
    """Run `action` in a forked child whose working folder and first import path is `tree`.

    Args:
        tree: the copy to run in.
        caches: folder of numba's compiled loops and of temporary files.
        action: returns an exit status.
        log: receives what the child prints.
        cpu_s: limit of processor time, s; unlike wall time, it is the same on a busy machine.
        wall_s: limit of wall time, s, for a child that waits for ever.

    Returns:
        The exit status, TIMED_OUT, or 128 + the signal that ended the child.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            _settle(tree, caches, log, cpu_s)
            status = action()
        finally:
            if sys.exc_info()[0] is not None:
                sys.excepthook(*sys.exc_info())
            sys.stdout.flush()
            os._exit(status)
    return _await(child, wall_s)


def _settle(tree: Path, caches: Path, log: Path, cpu_s: float) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(tree)
    caches.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = str(tree)
    os.environ["NUMBA_CACHE_DIR"] = str(caches)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(caches)
    sys.path[:] = [str(tree), *(place for place in sys.path if place not in ("", str(tree)))]
    # The runner's own package gives way to that of the copy.
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = max(1, int(cpu_s))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))


def _await(child: int, wall_s: float) -> int:
    """The exit status of the child; all of its processes are ended with it."""
    end = time.monotonic() + wall_s
    pause = 0.01
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            _end_group(child)
            os.waitpid(child, 0)
            return TIMED_OUT
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    _end_group(child)
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        return TIMED_OUT if ended_by in (signal.SIGXCPU, signal.SIGKILL) else 128 + ended_by
    return os.WEXITSTATUS(status)


def _end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def run_pytest(arguments: Sequence[str], *plugins: object) -> int:
    """pytest's exit status; nothing is written beside the tests.

    `sys.path` is left alone: each tree says in its settings what it needs.
    """
    import pytest

    sys.dont_write_bytecode = True
    quiet = ["-q", "-p", "no:cacheprovider", "--no-header", "-o", "addopts=--import-mode=importlib"]
    if find_spec("hypothesis") is not None:
        # Imported before the fork, so its assertions are not rewritten.
        quiet += ["--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*quiet, *arguments], plugins=list(plugins)))
