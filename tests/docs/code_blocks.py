"""The code of the documentation: fenced blocks of its pages, and the commands that they name."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "decisions" not in path.parts
)
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language as written, and its text without the indentation of the fence."""

    kind: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """All of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        lines = [line[indent:] for line in match["text"].splitlines()]
        found.append(Block(match["kind"], "\n".join(lines) + "\n", text[: match.start()].count("\n") + 2))
    return found


def commands(page: str) -> Iterator[tuple[int, list[str]]]:
    """Every `imssa ...` of a page's shell blocks (whatever language they claim), in words, with its line."""
    for block in blocks(page):
        if block.kind not in ("", "sh", "text"):
            continue
        joined = block.text.replace("\\\n", " \0")
        line = block.line
        for text in joined.split("\n"):
            words = text.replace("\0", "")
            if words.strip().startswith("imssa "):
                yield line, shlex.split(words, comments=True)
            line += 1 + text.count("\0")
