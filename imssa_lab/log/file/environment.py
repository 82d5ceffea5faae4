"""What a run was made with, as far as the computer knows: host, packages, git state, command line."""

from __future__ import annotations

import functools
import getpass
import os
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from imssa_lab.contract.operating_system import user_number


def environment() -> dict[str, Any]:
    """Host, user, working folder, command line, Python, versions of all installed packages, git state, time zone."""
    return {
        "host": platform.node(),
        "user": _user(),
        "platform": platform.platform(),
        "python": sys.version,
        "folder": str(Path.cwd()),
        "command": sys.argv,
        "process": os.getpid(),
        "git": _git_state(),
        "packages": _packages(),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for its user
        return f"uid {user_number()}"


@functools.cache
def _packages() -> dict[str, str]:
    named = ((found.metadata["Name"], found.version) for found in distributions())
    return dict(sorted((name, version) for name, version in named if name))


@functools.cache
def _git_state() -> str:
    """Commit of the checkout that this package runs from, with -dirty where it was changed; empty without one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
