"""Every section of a profile that the page of the twin shows can be written as it stands there."""

import importlib.util
import tomllib

import pytest
from pydantic import BaseModel

from tests.docs.code_blocks import ROOT, Block, blocks
from twin import TwinProfile

SHOWN = [block for block in blocks("docs/explain/twin.md") if block.kind == "toml"]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"line {block.line}")
def test_a_profile_may_have_it(block: Block) -> None:
    shown = tomllib.loads(block.text)
    shown.pop("extends", None)
    lines = {"wires": {"r_word": 1.0, "r_bit": 1.0}}
    profile = TwinProfile.model_validate(TwinProfile.load("supert-a0").model_dump() | lines | shown)
    for name in shown:
        assert getattr(profile, name) is not None


def test_the_sections_that_presets_lack_are_shown() -> None:
    shown = {name for block in SHOWN for name in tomllib.loads(block.text)}
    assert shown >= {"wires", "line_drop", "half_selected", "endurance", "temperature"}


def test_the_reference_lists_the_keys_of_sections_inside_sections() -> None:
    found = importlib.util.spec_from_file_location("generated", ROOT / "docs/reference/generated.py")
    assert found is not None
    assert found.loader is not None
    page = importlib.util.module_from_spec(found)
    found.loader.exec_module(page)
    listed = page.profile().split("## ")[1:]
    parts = dict(part.split("\n", 1) for part in listed)
    for title, keys in (
        ("[half_selected.set]", ("voltage", "time", "v_per_decade", "spread")),
        ("[read_noise.flicker]", ("sd", "slowest", "slope")),
        ("[measured_pulses.set]", ("strengths", "quantiles")),
        ("[endurance]", ("cycles", "middle")),
    ):
        assert all(f"| `{key}` |" in parts[title] for key in keys), title
    kinds = [kind for kind in every_section(TwinProfile) if kind is not TwinProfile]
    assert len(listed) == 1 + len(set(kinds))


def every_section(kind: type[BaseModel]) -> list[type[BaseModel]]:
    found = [kind]
    for field in kind.model_fields.values():
        waiting = [field.annotation]
        while waiting:
            one = waiting.pop()
            if isinstance(one, type) and issubclass(one, BaseModel):
                found += every_section(one)
            else:
                waiting += list(getattr(one, "__args__", ()))
    return found
