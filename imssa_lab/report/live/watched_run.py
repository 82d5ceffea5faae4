"""`watch_run`: a picture in a notebook that follows a run which another process writes; elsewhere lines of text."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.writer_presence import Presence, writer_of
from imssa_lab.report.live.view import LiveView
from imssa_lab.report.plots.style import BLUE, NOT_PROGRAMMED

_LOOK_FOR_FILE = 0.1  # s
_LINES_APART = 5.0  # s
_GONE = f"{Presence.GONE}, and the file was not closed: imssa log repair"


class _Shown(Protocol):
    """Where a state is shown; `over`: it is the last one."""

    def show(self, state: dict[str, Any], line: str, *, over: bool) -> None: ...


def watch_run(path: str | Path, *, period: float = 1.0, patience: float = 60.0, within: float | None = None) -> None:
    """Follow a run that another process writes, until that has ended it.

    In a notebook with ipywidgets a picture is drawn again at every look: conductances of the array at work, and the
    share of its cells within tolerance, of those that had to move. Elsewhere it prints a line when something changed.
    Interrupting it ends the watching, not the run.

    Args:
        path: the run file; it need not be there yet.
        period: s between two looks.
        patience: s to wait for the run to be begun.
        within: S, what counts as within tolerance; None as on the live page of `imssa monitor --web`.

    Raises:
        LogError: nobody begins the run, this process writes it itself, or the file cannot be read.
    """
    path = Path(path)
    _wait_for(path, patience)
    if writer_of(path) == os.getpid():
        raise LogError(
            f"{path} is written by this process, which sees its own records only when the file is closed: "
            "write the run in another process (imssa program, imssa deploy, a script) to watch it"
        )
    shown: _Shown = _Picture() if _widgets_are_shown() else _Lines()
    with LiveView(path, within) as view:
        while True:
            state = _state(view, period)
            over = state["sure"] and state["state"] != Presence.THERE and not state["behind"]
            if state["state"] == Presence.GONE:
                state["state"] = _GONE
            shown.show(state, in_a_line(state), over=over)
            if over:
                return
            time.sleep(period)


def _wait_for(path: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > until:
            raise LogError(f"{path}: no run was started within {patience:g} s; is its process running?")
        time.sleep(_LOOK_FOR_FILE)


def _state(view: LiveView, period: float) -> dict[str, Any]:
    try:
        return view.state()
    except LogError:  # the file may be closed just now
        time.sleep(max(period, 1.0))
        return view.state()


def in_a_line(state: dict[str, Any]) -> str:
    """What a `LiveView` knows, in one line: whether somebody writes, the array, cells, pulses, share reached."""
    progress, curve = state["progress"], state["curve"]
    words = [
        str(state["state"]),
        f"array {state['array']}, {state['arrays'][state['array']]}",
    ]
    if progress["wanted"]:
        words.append(f"{progress['read']} of {progress['wanted']} cells with a target were read")
    if progress["pulses"] or not progress["wanted"]:
        words.append(f"{progress['pulses']} pulses" if progress["pulses"] else "nothing programmed yet")
    if curve:
        words.append(f"{curve[-1][1]:.1f} % of those that had to move within {state['within']:.1f} µS")
    words.append(f"{state['device_time']:.1f} s of the array")
    return "; ".join(words)


def picture(state: dict[str, Any]) -> Figure:
    """What a `LiveView` knows, drawn: the conductances of one array, and how many cells are where they should be."""
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    values = np.array(state["now"], dtype=np.float64).reshape(state["rows"], state["cols"])
    left.set_facecolor(NOT_PROGRAMMED)
    low, high = state["window"]
    image = left.imshow(values, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(image, ax=left, label="last reading (µS); grey: none", shrink=0.85)
    left.set(xlabel="bit line", ylabel="word line")
    left.set_title(f"array {state['array']}: {state['arrays'][state['array']]}", fontsize=10)
    pulses, share = zip(*state["curve"], strict=True) if state["curve"] else ((), ())
    right.step(pulses, share, where="post", color=BLUE)
    right.set(xlabel="pulses to all cells", ylabel=f"within {state['within']:.1f} µS (%)", ylim=(0, 102))
    right.set_title("of the cells that had to move, by the last reading", fontsize=10)
    right.spines[["top", "right"]].set_visible(False)
    right.grid(alpha=0.3)
    return figure


def _widgets_are_shown() -> bool:
    """Whether this runs in a notebook that can show widgets."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        return False
    try:
        import ipywidgets  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


class _Picture:
    """A picture of a notebook that is replaced at every look; what is left of it in the end is a picture as any."""

    def __init__(self) -> None:
        import ipywidgets
        from IPython.display import display

        self._image, self._line = ipywidgets.Image(format="png"), ipywidgets.Label()
        display(ipywidgets.VBox([self._image, self._line]))

    def show(self, state: dict[str, Any], line: str, *, over: bool) -> None:
        drawn = io.BytesIO()
        picture(state).savefig(drawn, format="png", dpi=100)
        self._image.value, self._line.value = drawn.getvalue(), line
        if over:
            from IPython.display import Image, display

            print(line)  # noqa: T201 - widgets are not kept in the file of a notebook
            display(Image(drawn.getvalue()))
            self._image.layout.display = self._line.layout.display = "none"


class _Lines:
    """Lines of text, some seconds apart."""

    def __init__(self) -> None:
        self._last, self._when = "", -_LINES_APART

    def show(self, state: dict[str, Any], line: str, *, over: bool) -> None:
        if line != self._last and (over or time.monotonic() - self._when >= _LINES_APART):
            self._last, self._when = line, time.monotonic()
            print(line, flush=True)  # noqa: T201 - what the function is for
