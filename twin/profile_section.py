"""One section of a twin profile."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Part of a `TwinProfile`: frozen, and a key that it does not list is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
