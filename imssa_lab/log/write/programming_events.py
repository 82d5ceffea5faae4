"""What a programming call under way aims at: its record comes only when it has ended, this event when it begins."""

from __future__ import annotations

import base64
import json
import zlib
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from imssa_lab.contract.array_types import FloatArray

AIM = "aim"
"""Kind of the event."""
_NOTHING = 2**16 - 1


class Aim(NamedTuple):
    """An array of the run, and its target in S, (rows, cols), NaN where nothing is programmed.

    `programmer`: the loop as its class, a blank and its settings in JSON, where it has such; None in older files.
    """

    array: int
    target: FloatArray
    programmer: str | None = None


def aim_text(aim: Aim) -> str:
    """The event: JSON with the map in steps of 1/65534 of its largest value, for people to look at."""
    chosen = np.isfinite(aim.target)
    step = float(np.max(aim.target, where=chosen, initial=0.0)) / (_NOTHING - 1) or 1.0
    codes = np.where(chosen, np.rint(np.where(chosen, aim.target, 0.0) / step), _NOTHING).astype("<u2")
    packed = base64.b64encode(zlib.compress(codes.tobytes())).decode()
    event = {"array": aim.array, "step": step, "shape": aim.target.shape, "target": packed}
    return json.dumps(event if aim.programmer is None else event | {"programmer": aim.programmer})


def read_aim(text: str) -> Aim:
    """What `aim_text` wrote."""
    event = json.loads(text)
    codes = np.frombuffer(zlib.decompress(base64.b64decode(event["target"])), dtype="<u2").reshape(event["shape"])
    target = np.where(codes == _NOTHING, np.nan, event["step"] * codes.astype(np.float64))
    return Aim(int(event["array"]), target, event.get("programmer"))


def programmer_text(loop: object) -> str | None:
    """A loop as its class and its settings, to repeat a session; None if it has no settings to write."""
    if not isinstance(loop, BaseModel):
        return None
    try:
        return f"{type(loop).__name__} {loop.model_dump_json()}"
    except ValueError:  # a setting that is no value, such as a function
        return None
