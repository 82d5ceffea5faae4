"""Tables that notebooks show instead of a bare repr."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_CELL = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0"


def facts_html(title: str, facts: Iterable[tuple[str, str]], good: bool | None = None) -> str:
    """HTML table of names and values with a title; `good` adds a green or a red bar."""
    bar = {None: "", True: "border-left:.4em solid #009e73;", False: "border-left:.4em solid #d55e00;"}[good]
    rows = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in facts
    )
    return f'<div style="{bar}padding-left:.6em"><b>{escape(title)}</b><table>{rows}</table></div>'
