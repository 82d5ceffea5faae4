"""`imssa monitor`: a running log on the terminal or in a browser, from a second process."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared.number_options import finite
from imssa_lab.cli.shared.session import console
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from imssa_lab.log.read.follower import Follower, Seen

_SPAN = 10.0  # s over which rates are taken
_EVENTS = 8
_NAMED = 3  # chips
_LOOK_FOR_FILE = 0.2  # s
HOST = "127.0.0.1"
_LOOK_BACK = 1000  # records of each kind that the first look takes in


def monitor(
    file: Annotated[Path, typer.Argument(help="Run file that another process is writing.")],
    once: Annotated[bool, typer.Option("--once", help="Show the state once and end.")] = False,
    period: Annotated[float, typer.Option(min=0.1, callback=finite, help="Time between two updates, s.")] = 0.5,
    web: Annotated[bool, typer.Option("--web", help="Show it in a browser on this computer instead.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of --web; 0 for any free one.")] = 0,
    within: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="Tolerance for the yield in --web, uS.")
    ] = None,
) -> None:
    """Watch a run: number and rate of calls of each kind, what was programmed, the last events.

    Waits for a run that has not started yet, except with --once.

    With --web: the conductance map, the yield, the cell being programmed, the link, and a button that makes the array
    safe.

    Example: imssa monitor --once imssa-demo/run.h5
    """
    if not once:
        wait_for(file)
    if web:
        serve(file, port, None if within is None else 1e-6 * within)
        return
    from rich.live import Live

    from imssa_lab.log.read.follower import Follower

    with Follower(file, last=_LOOK_BACK) as follower:
        view = View(follower)
        if once:
            view.look()
            console().print(view.picture())
            return
        with Live(view.picture(), console=console(), refresh_per_second=4) as live:
            while True:
                view.look()
                live.update(view.picture())
                if follower.ended:
                    break
                time.sleep(period)


def wait_for(file: Path) -> None:
    """Wait until another process has begun the run."""
    if file.exists():
        return
    console(stderr=True).print(f"waiting for {file} to be started; Ctrl-C ends the monitor", markup=False)
    while not file.exists():
        time.sleep(_LOOK_FOR_FILE)


def serve(file: Path, port: int, within: float | None) -> None:
    """Serve the live page of a run on this computer until Ctrl-C; within in S.

    Raises:
        ConfigError: the port is taken, or the extra `web` is not installed; LogError: the run cannot be read.
    """
    import secrets
    import socket

    try:
        import uvicorn

        from imssa_lab.report.live import LiveView
        from imssa_lab.report.live.app import make_app
    except ImportError as error:
        raise ConfigError(
            f'--web needs more ({error}); install it with `pip install "imssa-lab[web,plot]"`'
        ) from error
    with LiveView(file, within) as view:
        try:
            door = socket.create_server((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {HOST}: {error.strerror}; leave --port out to take a free one"
            ) from error
        token = secrets.token_urlsafe(24)
        # the token comes after #: a browser never sends that part
        console().print(f"http://{HOST}:{door.getsockname()[1]}/#{token}", markup=False)
        console(stderr=True).print("Open this address on this computer; Ctrl-C ends the monitor, not the run.")
        settings = uvicorn.Config(make_app(view, token), log_level="warning", lifespan="off")
        uvicorn.Server(settings).run(sockets=[door])


class View:
    """What is shown of a run, brought up to date by `look`."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._recent: deque[Seen] = deque()
        self._events: list[tuple[float, str]] = []
        self._device_time = 0.0
        self._last: Seen | None = None

    def look(self) -> None:
        """Take in what is new."""
        new = self._follower.new()
        if any(record.table == "events" for record in new):
            self._events = [*self._events, *self._worded(new)][-_EVENTS:]
        for record in new:
            self._recent.append(record)
            if math.isfinite(record.device_time):
                self._device_time = record.device_time
            self._last = record
        now = time.time()
        while self._recent and self._recent[0].wall_time < now - _SPAN:
            self._recent.popleft()

    def _worded(self, new: Sequence[Seen]) -> list[tuple[float, str]]:
        """When, and what happened, of the last events among these records."""
        from imssa_lab.report.event_words import event_words

        events = self._follower.run.numbered_events()
        texts = {seq: f"{kind}: {event_words(kind, text)}" for seq, kind, text in events}
        # the records of an event of several parts are one text, under the number of the last one
        return [(one.wall_time, texts[one.seq]) for one in new if one.table == "events" and one.seq in texts]

    def picture(self) -> RenderableType:
        """All of it for the terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from imssa_lab.log.file.writer_presence import presence
        from imssa_lab.log.schema import TABLES

        run = self._follower.run
        names = list(dict.fromkeys(f"{info.name} ({info.serial})" for info in run.infos))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        chips = ", ".join(names[:_NAMED]) + more
        state = "closed" if run.closed_cleanly else "repaired" if run.repaired else presence(run.path)
        head = Text(f"{run.path}: {chips}; {state}; device time {self._device_time:.3f} s")
        rates = self._rates()
        calls = Table("call", "records", f"in the last {_SPAN:g} s, 1/s", box=None)
        for table in TABLES:
            count = run.records(table)
            if count and table != "wire":
                calls.add_row(table, str(count), f"{rates.get(table, 0.0):.1f}")
        calls.add_row("wire", f"{run.records('wire')} messages", "")
        lines = [Text(self._programmed())]
        lines += [Text(f"{time.strftime('%H:%M:%S', time.localtime(when))}  {words}") for when, words in self._events]
        if self._last is not None:
            lines.append(Text(f"last: record {self._last.seq}, {self._last.table}, {self._last.text}"))
        return Group(head, calls, *lines)

    def _rates(self) -> dict[str, float]:
        """Records a second by kind; where more came in the span than the first look takes in, over those it has."""
        rates: dict[str, float] = {}
        for table, count in Counter(record.table for record in self._recent).items():
            span = _SPAN
            if count == _LOOK_BACK:
                times = [record.wall_time for record in self._recent if record.table == table]
                span = max(times[-1] - times[0], 1e-3)
            rates[table] = count / span
        return rates

    def _programmed(self) -> str:
        import numpy as np

        from imssa_lab.contract.cell_classes import CellMap, cell_shares

        run = self._follower.run
        rows = run.records("program")
        if not rows:
            calls = run.records("pulses")
            return f"{calls} calls of pulses; no programming has ended yet" if calls else "nothing programmed yet"
        names = ("target", "achieved", "tolerance", "mask", "array")
        last = {name: run.column("program", name, rows - 1) for name in names}
        target = np.where(last["mask"] != 0, last["target"], np.nan)
        window = run.infos[int(last["array"])].window
        shares = cell_shares([CellMap(target, last["achieved"])], window, float(last["tolerance"]))
        moved, whole = shares.classes[0], shares.whole
        return (
            f"last programming, in tolerance by re-read: {moved.inside} of {moved.cells} cells that had to move, "
            f"{whole.inside} of {whole.cells} in all"
        )
