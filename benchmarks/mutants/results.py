"""Results of mutants, kept line by line, so that an interrupted run continues."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.mutants.mutant_trials import KILLED, TIMED, Outcome
from benchmarks.mutants.mutations import Mutant

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Result:
    """A line of the file of results; `source`: digest of the file that was mutated; `met`: of the tests."""

    key: str
    source: str
    outcome: str
    killer: str
    round: str
    tests: int
    left_out: int
    met: str = ""

    @property
    def is_kill(self) -> bool:
        """Whether a test failed, or never ended."""
        return self.outcome in (KILLED, TIMED)


class Results:
    """The results in one folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "results.jsonl"
        self._known: dict[str, Result] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                one = Result(**json.loads(line))
                self._known[one.key] = one

    def find(self, mutant: Mutant, source: str | None) -> Result | None:
        """The result, made with the file of this digest; of any, where `source` is None."""
        known = self._known.get(mutant.key)
        return known if known is not None and source in (None, known.source) else None

    def add(self, mutant: Mutant, source: str, outcome: Outcome, met: str) -> Result:
        """Keep one."""
        result = Result(mutant.key, source, **asdict(outcome), met=met)
        self._known[mutant.key] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")
        return result


def reviewed_equivalents(listing: Path = EQUIVALENT) -> dict[str, str]:
    """Key and reason of each mutant that was read and found to change nothing that is promised."""
    if not listing.is_file():
        return {}
    raw = tomllib.loads(listing.read_text(encoding="utf-8"))
    return {one["mutant"]: one["reason"] for one in raw.get("equivalent", [])}
