"""`publish`: a copy of a run for other people, without what says who and where."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from imssa_lab.log.care.snapshot import Snapshot, copy_records, verified_copy
from imssa_lab.log.run import Run, open_run

PERSONAL = frozenset(
    {"user", "host", "folder", "command", "process", "operator", "station", "array", "address", "port", "title"}
)
"""What `publish` leaves out of environment, provenance and descriptions of arrays."""
_WHO_AND_WHERE = ("user", "host", "folder", "operator")
_OWN_EVENTS = ("link", "failed")
"""Events that the log itself writes and that name links, which are addresses."""
_SHORTEST = 3  # letters of a name that is looked for in other texts


@dataclass(frozen=True)
class Published:
    """A copy for other people.

    Attributes:
        left_out: what is not in it; still_named: what else in it holds the user, host, folder or operator.
    """

    copy: Snapshot
    left_out: list[str]
    still_named: list[str]


def publish(path: str | Path, to: str | Path) -> Published:
    """A copy for other people, without what says who and where.

    Numbers, events of scripts and bytes of the wire are all there. In the log's own events, links have numbers
    instead of their addresses, in as many letters.

    Raises:
        LogError: as `snapshot`.
    """
    left_out: list[str] = []
    secrets: dict[str, str] = {}
    links: list[str] = []

    def without_names(name: str, text: str) -> str:
        facts = json.loads(text)
        held = facts["provenance"] if name == "info" else facts
        for personal in sorted(PERSONAL & set(held)):
            if personal in _WHO_AND_WHERE:
                secrets[str(held[personal])] = personal
            del held[personal]
            left_out.append(f"{name}: {personal}")
        if name == "info" and facts["serial"] in links:
            facts["serial"] = "left out"
            left_out.append(f"{name}: serial, an address")
        return json.dumps(facts)

    def without_links(kinds: Any, parts: Any, texts: Any) -> Any:
        hidden = texts.copy()
        for first in np.flatnonzero((parts == 0) & np.isin(kinds, [kind.encode() for kind in _OWN_EVENTS])):
            (after,) = np.nonzero(parts[first + 1 :] == 0)
            rows = slice(first, first + 1 + int(after[0]) if after.size else len(texts))
            ends = np.cumsum([0, *map(len, texts[rows])])
            whole = _without(links, b"".join(texts[rows]))
            hidden[rows] = [whole[start:end] for start, end in pairwise(ends)]
        found = dict.fromkeys(kind.decode() for kind in kinds[hidden != texts])
        left_out.extend(f"event {kind}: address" for kind in found)
        return hidden

    def make(run: Run, target: Path) -> None:
        links.extend(json.loads(text)["name"] for _, text in run.events("link"))
        copy_records(run, target, edit=without_names, edit_events=without_links)

    copy = verified_copy(Path(path), Path(to), make)
    return Published(copy, left_out, _still_named(copy.path, secrets))


def _without(links: Sequence[str], text: bytes) -> bytes:
    """A text with other letters, as many, for the names of links, as JSON has them."""
    for number, name in enumerate(links):
        written = json.dumps(name)[1:-1].encode()
        if written:
            text = text.replace(written, f"link {number}".encode().ljust(len(written), b"*")[: len(written)])
    return text


def _still_named(path: Path, secrets: Mapping[str, str]) -> list[str]:
    """Where the texts of a file still hold one of the secrets, which have names."""
    with open_run(path) as run:
        texts = {f"provenance, {name}": text for name, text in run.provenance.items()}
        texts |= {f"array {number}": info.model_dump_json() for number, info in enumerate(run.infos)}
        for kind, text in run.events():
            texts[f"event {kind}"] = texts.get(f"event {kind}", "") + text
    return [
        f"{place}: {what}"
        for place, text in texts.items()
        for secret, what in secrets.items()
        if len(secret) >= _SHORTEST and re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text)
    ]
