"""A list of bars: what was measured beside what is required."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

_COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
Scale = Literal["full", "quick", "smoke"]
Size = TypeVar("Size")


@dataclass
class Bars:
    """Collects measurements, prints each as it comes, and knows whether all hold.

    Attributes:
        scale: "full" for a measurement, "quick" for a look with fewer repetitions, "smoke" for a run of every line at
            the smallest sizes, which judges no figure.
    """

    scale: Scale = "full"
    failed: list[str] = field(default_factory=list)

    def size(self, full: Size, smoke: Size, quick: Size | None = None) -> Size:
        """The one that the run's scale asks for; a quick run without a size of its own takes the full one."""
        if self.scale == "smoke":
            return smoke
        return quick if self.scale == "quick" and quick is not None else full

    @property
    def smoke(self) -> bool:
        """Whether no figure is judged."""
        return self.scale == "smoke"

    def left_out(self, what: str) -> None:
        """Say that a smoke run does without something."""
        print(f"      left out of a smoke run: {what}", flush=True)

    def check(self, what: str, measured: float | None, comparison: str, required: float, note: str = "") -> None:
        """Print and keep one measurement, None where there is no figure; `comparison` is <=, >= or ==."""
        shown = "no figure" if measured is None else f"{measured:.4g}"
        good = measured is not None and bool(_COMPARE[comparison](measured, required))
        if not good and not self.smoke:
            self.failed.append(what)
        verdict = "seen " if self.smoke else "ok   " if good else "SHORT"
        behind = f"  {note}" if note else ""
        print(f"{verdict} {what}: {shown}, required {comparison} {required:g}{behind}", flush=True)

    def exit_code(self) -> int:
        """0 when every bar holds, or none was judged; prints the verdict."""
        if self.smoke:
            print("smoke run: every part ran, no figure was judged")
        else:
            print("all bars hold" if not self.failed else f"short: {'; '.join(self.failed)}")
        return int(bool(self.failed))
