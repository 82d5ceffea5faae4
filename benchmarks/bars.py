"""A list of bars: what was measured beside what is required."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

_COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


@dataclass
class Bars:
    """Collects measurements, prints each as it comes, and knows whether all hold."""

    failed: list[str] = field(default_factory=list)

    def check(self, what: str, measured: float, comparison: str, required: float, note: str = "") -> None:
        """Print and keep one measurement; `comparison` is <=, >= or ==."""
        good = bool(_COMPARE[comparison](measured, required))
        if not good:
            self.failed.append(what)
        verdict = "ok   " if good else "SHORT"
        print(
            f"{verdict} {what}: {measured:.4g}, required {comparison} {required:g}{'  ' + note if note else ''}",
            flush=True,
        )

    def exit_code(self) -> int:
        """0 when every bar holds; prints the verdict."""
        print("all bars hold" if not self.failed else f"short: {'; '.join(self.failed)}")
        return int(bool(self.failed))
