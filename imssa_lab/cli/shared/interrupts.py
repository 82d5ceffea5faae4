"""What a command says when Ctrl-C ends it: notes on the interrupt, which the command line prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def when_stopped(words: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C within is raised again with a note by `words`: which files exist, and how to continue."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if note := words():
            stop.add_note(note)
        raise
