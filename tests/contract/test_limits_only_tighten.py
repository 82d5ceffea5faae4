"""Limits can be lowered and never raised: every field, for every kind of pulse, by contract and by station file."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab import open_array
from imssa_lab.contract.errors import ConfigError, LimitError
from imssa_lab.contract.hal import CrossbarArray, Limits, PulseKind, Pulses
from twin import DigitalTwin

KINDS = [PulseKind.SET, PulseKind.RESET]
STRICTER = {"voltage_max": 0.5, "gate_max": 0.5, "width_max": 0.5, "width_min": 2.0}
"""Factor that makes each field stricter."""


def changed(limits: Limits, kind: PulseKind, field: str, factor: float) -> Limits:
    own = getattr(limits, kind.lower())
    return limits.model_copy(update={kind.lower(): own.model_copy(update={field: factor * getattr(own, field)})})


def pulse(array: CrossbarArray, kind: PulseKind, field: str, factor: float) -> None:
    """A pulse at `factor` of the driver's own limit in one field, well inside the others."""
    own = getattr(array.info.limits, kind.lower())
    asked = {"voltage_max": 0.4 * own.voltage_max, "gate_max": 0.4 * own.gate_max, "width_max": 4 * own.width_min}
    name = "width_max" if field == "width_min" else field
    asked[name] = factor * getattr(own, field)
    mask = np.zeros(array.info.shape, bool)
    mask[0, 0] = True
    array.apply_pulses(Pulses.on(mask, kind, asked["voltage_max"], asked["gate_max"], asked["width_max"]))


@pytest.mark.parametrize("field", STRICTER)
@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_can_be_made_stricter_and_then_holds_but_not_looser(kind: PulseKind, field: str) -> None:
    with DigitalTwin("supert-a0-easy", (2, 2), seed=1) as array:
        own = array.info.limits
        between = 1.5 if field == "width_min" else 0.8
        pulse(array, kind, field, between)
        with pytest.raises(LimitError, match="can be lowered, not raised"):
            array.lower_limits(changed(own, kind, field, 1 / STRICTER[field]))
        assert array.info.limits == own
        array.lower_limits(changed(own, kind, field, STRICTER[field]))
        stricter = array.info.limits
        with pytest.raises(LimitError):
            array.apply_pulses(_at(own, kind, field, between))
        with pytest.raises(LimitError, match="can be lowered, not raised"):
            array.lower_limits(own)
        assert array.info.limits == stricter


def _at(own: Limits, kind: PulseKind, field: str, factor: float) -> Pulses:
    limits = getattr(own, kind.lower())
    voltage, gate, width = 0.4 * limits.voltage_max, 0.4 * limits.gate_max, 4 * limits.width_min
    value = factor * getattr(limits, field)
    voltage, gate = (value if field == name else old for name, old in (("voltage_max", voltage), ("gate_max", gate)))
    width = value if field.startswith("width") else width
    mask = np.zeros((2, 2), bool)
    mask[0, 0] = True
    return Pulses.on(mask, kind, voltage, gate, width)


@pytest.mark.parametrize("field", ["voltage_max", "gate_max", "width_max"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_limits_of_a_station_hold_for_both_kinds_of_pulse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: PulseKind, field: str
) -> None:
    with DigitalTwin("supert-a0-easy", (2, 2), seed=1) as array:
        own = array.info.limits
    station = tmp_path / "station.toml"
    monkeypatch.setenv("IMSSA_STATION", str(station))
    entry = '[arrays.chip]\naddress = "twin:supert-a0-easy?seed=1&shape=2x2"\n[arrays.chip.limits.{}]\n{} = {!r}\n'
    station.write_text(entry.format(kind.lower(), field, 0.5 * getattr(getattr(own, kind.lower()), field)))
    with open_array("chip") as array:
        array.apply_pulses(_at(own, kind, field, 0.45))
        with pytest.raises(LimitError):
            array.apply_pulses(_at(own, kind, field, 0.8))
        other = PulseKind.RESET if kind is PulseKind.SET else PulseKind.SET
        array.apply_pulses(_at(own, other, field, 0.8))
    station.write_text(entry.format(kind.lower(), field, 1.5 * getattr(getattr(own, kind.lower()), field)))
    with pytest.raises(ConfigError, match=rf"limits\.{kind.lower()}\.{field}"):
        open_array("chip")
