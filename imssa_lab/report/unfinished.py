"""The report of a deployment that did not come to its end: why, and how far every kernel and array came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:0 auto;padding:1rem}
.bad{border-left:.5rem solid #d55e00;background:#fdf0e6;padding:.6rem 1rem}
table{border-collapse:collapse}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #ddd}</style>
</head><body><h1>{{ title }}</h1>
<div class="bad"><b>Not finished, so not verified.</b> {{ why }}</div>
<h2>Arrays</h2><table><tr><th>array</th><th>cells finished, by re-read</th><th>cells stuck</th></tr>
{% for row in arrays %}<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Kernels</h2><table><tr><th>kernel</th><th>outcome</th></tr>
{% for name, end in kernels.items() %}<tr><td>{{ name }}</td><td>{{ end }}</td></tr>
{% endfor %}</table>
<h2>Provenance</h2><table>
{% for name, value in provenance.items() %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table></body></html>
"""


def write_unfinished(
    path: Path,
    title: str,
    why: str,
    arrays: Sequence[tuple[int, int, int]],
    kernels: Mapping[str, str],
    provenance: Mapping[str, str],
) -> None:
    """Write the page, over an older one of the same folder.

    Args:
        arrays: (number, cells finished, cells stuck) of each; kernels: outcome by name.
    """
    page = Environment(autoescape=True).from_string(_PAGE)
    text = page.render(title=title, why=why, arrays=arrays, kernels=kernels, provenance=provenance)
    path.write_text(text, encoding="utf-8")
