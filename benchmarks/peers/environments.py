"""An environment for each peer: made on request, and its times measured there by another process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "build" / "peers"
_PROGRAMS = "Scripts" if os.name == "nt" else "bin"
_TORCH = "torch==2.13.0"  # named, since a torch without a version brings gigabytes of CUDA on Linux


@dataclass(frozen=True)
class Peer:
    """One package of others.

    Attributes:
        module: of `benchmarks.peers`, which measures it. packages: arguments of `pip install`, one call each.
        physics: what the package simulates where it is measured here.
    """

    module: str
    packages: tuple[tuple[str, ...], ...]
    physics: str


PEERS = {
    "aihwkit": Peer(
        "peer_products",
        (
            (_TORCH, "numpy", "setuptools", "wheel", "scikit-build", "cmake", "ninja", "pybind11", "mypy"),
            # compiled against this torch, for which there is no wheel: needs a C++ compiler and OpenBLAS
            ("--no-build-isolation", "--no-binary", "aihwkit", "aihwkit==1.2.0"),
        ),
        "default converters (7 and 9 bits) and output noise; pulses on devices of constant step",
    ),
    "lightning": Peer(
        "peer_products",
        ((_TORCH, "aihwkit-lightning==2.1.0"),),
        "converters of 8 bits and output noise",
    ),
    "badcrossbar": Peer(
        "peer_wires",
        # its plots need cairo, which is not needed here: it warns that it cannot plot
        (("--no-deps", "badcrossbar==1.1.0"), ("numpy", "scipy", "sigfig", "pathvalidate", "setuptools")),
        "wires of 1 ohm a segment, by a sparse solver",
    ),
}


def python_of(peer: str, folder: Path) -> Path | None:
    """The interpreter of a peer's environment; None where there is no environment."""
    found = folder / peer / _PROGRAMS / ("python.exe" if os.name == "nt" else "python")
    return found if found.exists() else None


def install(peer: str, folder: Path) -> None:
    """Make the environment of a peer, from the package index that pip is set to.

    Raises:
        subprocess.CalledProcessError: pip could not install the packages; its own message is on the terminal.
    """
    place = folder / peer
    venv.create(place, with_pip=True)
    # aihwkit is built by programs of the environment
    tools = os.environ | {"PATH": os.pathsep.join([str(place / _PROGRAMS), os.environ["PATH"]])}
    try:
        for packages in PEERS[peer].packages:
            command = [str(python_of(peer, folder)), "-m", "pip", "install", "--quiet", *packages]
            subprocess.run(command, check=True, env=tools)
    except BaseException:
        shutil.rmtree(place)  # half an environment would pass for a whole one
        raise


def times(peer: str, folder: Path, request: dict[str, object]) -> dict[str, float] | None:
    """What the peer's own process measured; None where it has no environment.

    Args:
        request: arguments of the module's `measured`.

    Raises:
        subprocess.CalledProcessError: the peer failed; its traceback is on the terminal.
    """
    python = python_of(peer, folder)
    if python is None:
        return None
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [
        str(python),
        "-m",
        f"benchmarks.peers.{PEERS[peer].module}",
        json.dumps(request),
    ]
    said = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, env=environment, cwd=ROOT
    ).stdout
    measured: dict[str, float] = json.loads(said.splitlines()[-1])
    return measured
