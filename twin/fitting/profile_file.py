"""A twin profile as a TOML file: a base profile with the fitted sections in place of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imssa_lab.contract.errors import ConfigError, DataError
from twin.profile import TwinProfile


def fitted_profile(base: TwinProfile, sections: Mapping[str, Any], name: str, source: str) -> TwinProfile:
    """`base` with fitted sections, checked as a whole.

    Raises:
        DataError: the fitted values do not make a valid profile.
    """
    known = {key: value for key, value in sections.items() if key in TwinProfile.model_fields}
    draft = base.model_dump(exclude_none=True) | known | {"name": name, "source": source}
    # how well a section is known goes with it: what is fitted anew is not as well known as what it replaces
    before = {} if base.fitted_to is None else base.fitted_to.model_dump(exclude_none=True)
    if known:
        before.pop("misfit", None)  # that of another profile
    counts = {key: count for key, count in before.items() if key not in known} | dict(known.get("fitted_to", {}))
    draft["fitted_to"] = counts or None
    if "window" in known:  # where the data lie, beside where the base profile does
        seen = known["window"]
        draft["window"] = {"low": min(base.window.low, seen["low"]), "high": max(base.window.high, seen["high"])}
    try:
        return TwinProfile.model_validate(draft)
    except ValidationError as error:
        raise DataError(f"the fitted values do not make a valid profile: {error}") from error


def write_profile(path: str | Path, profile: TwinProfile, comment: str) -> None:
    """Write a profile that `TwinProfile.load` reads back the same, to a new file.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    values = json.loads(profile.model_dump_json(exclude_none=True))
    text = "".join(f"# {line}\n" for line in comment.splitlines()) + _table(values, "")
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


def _table(values: Mapping[str, Any], prefix: str) -> str:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in plain.items()]
    head = f"\n[{prefix}]\n" if prefix and plain else ""
    inside = "".join(_table(value, f"{prefix}.{key}" if prefix else key) for key, value in tables.items())
    return head + "".join(lines) + inside


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, list):
        if value and isinstance(value[0], list):
            return "[\n" + "".join(f"  {_value(row)},\n" for row in value) + "]"
        return f"[{', '.join(_value(item) for item in value)}]"
    return json.dumps(value)  # strings, numbers and booleans are written alike in JSON and TOML
