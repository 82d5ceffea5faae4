"""What --json promises of stdout."""

import json
from typing import Any


def one_value(stdout: str) -> Any:
    """The only JSON value in a text, as a strict reader takes it: NaN and infinity are errors."""
    return json.loads(stdout, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
