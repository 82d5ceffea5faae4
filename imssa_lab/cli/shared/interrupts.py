"""What a command says when Ctrl-C ends it: notes on the interrupt, which the command line tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def when_stopped(words: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C within goes on outwards with what `words` then says: what is there, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if told := words():
            stop.add_note(told)
        raise
