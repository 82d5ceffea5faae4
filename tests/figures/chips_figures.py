"""Figures of chips: what each section of a profile yields in the same short session, alone and with all others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from imssa_lab.contract import jit
from imssa_lab.contract.hal import PulseKind, Pulses
from twin import DigitalTwin, TwinProfile, preset_names

SHAPE = (9, 7)

QUIET: dict[str, Any] = TwinProfile.load("ideal").model_dump(exclude_none=True, exclude={"programming"})
BOARD: dict[str, Any] = TwinProfile.load("supert-a0").model_dump(exclude_none=True)
WHITE = {"reference": 50e-6, "sd_median": 1e-6, "sd_spread": 0.4, "exponent": 0.5}
FLICKER: dict[str, Any] = {
    "sd": 0.3e-6,
    "spread": 0.4,
    "exponent": 0.35,
    "fastest": 1e-3,
    "resolved": 0.1,
    "slowest": 1e3,
}
TELEGRAPH = {"fraction": 0.4, "depth": 0.3, "spread": 0.3, "exponent": 0.8, "deepest": 1.0}
DWELLS = {"capture": (1e-3, 10.0), "emission": (1e-2, 30.0)}
ADC = {"bits": 8, "full_scales": (10e-6, 60e-6, 400e-6), "headroom": 0.85}
CREEP = {"voltage": 0.4, "time": 1e-5, "v_per_decade": 0.1, "spread": 0.4}
TABLE = {
    "strengths": [0.5, 1.0, 1.6],
    "scores": [-2.0, 0.0, 2.0],
    "quantiles": [[8e-6, 10e-6, 14e-6], [50e-6, 60e-6, 75e-6], [80e-6, 100e-6, 110e-6]],
    "cycle_spread": [0.02, 0.05, 0.03],
    "share": 0.7,
    "spread_spread": 0.3,
    "jitter": 0.03,
    "share_spread": 0.2,
}
FALLING = TABLE | {
    "strengths": [1.0, 2.0],
    "quantiles": [[30e-6, 40e-6, 60e-6], [2e-6, 3e-6, 5e-6]],
    "cycle_spread": [0.1, 0.04],
}
RELAXES: dict[str, Any] = {
    "kind": "log-time",
    "t0": 1e-3,
    "levels": (5e-6, 50e-6, 120e-6),
    "times": (0.01, 1.0, 1e4),
    "shift": ((0.0,) * 3, (-0.1e-6, -0.4e-6, 0.0), (0.2e-6, -1e-6, 0.0)),
    "core": ((0.4e-6,) * 3, (0.5e-6,) * 3, (0.7e-6, 0.9e-6, 0.8e-6)),
    "down": ((0.5e-6, 4e-6, 0.5e-6), (1e-6, 8e-6, 0.8e-6), (2e-6, 15e-6, 1e-6)),
    "down_share": ((0.2,) * 3, (0.3,) * 3, (0.4,) * 3),
    "up": ((0.5e-6, 3e-6, 0.5e-6),) * 3,
    "up_share": ((0.1,) * 3,) * 3,
    "knee": 1.0,
}
JUMPS = {"jumps": ((0.5, 0.8, 0.3),) * 2, "wander": ((0.1e-6, 0.3e-6, 0.2e-6),) * 2, "jump_memory": 0.4}
DRIFTS = {
    "kind": "power-law",
    "t0": 1.0,
    "levels": (5e-6, 50e-6),
    "exponent_mean": (0.08, 0.03),
    "exponent_sd": (0.03, 0.01),
}
BY_LEVEL = {
    "law": "by-level",
    "levels": (10e-6, 60e-6, 120e-6),
    "shift": (0.2e-6, -0.5e-6, -1e-6),
    "core": (0.5e-6, 1.5e-6, 2e-6),
    "down": (0.3e-6, 2e-6, 3e-6),
    "down_share": (0.1, 0.2, 0.3),
    "up": (0.4e-6, 1e-6, 1e-6),
    "up_share": (0.2, 0.1, 0.1),
}
PASSIVE = {"r_word": 3.0, "r_bit": 2.0, "r_in": 10.0, "r_out": 5.0, "selector": "none"}

SECTIONS: dict[str, dict[str, Any]] = {
    "quiet": {},
    "white": {"read_noise": WHITE},
    "ended white": {"read_noise": WHITE | {"noisiest": 1.5}},
    "electronic": {"read_noise": WHITE | {"electronic": {"temperature": 300.0, "bandwidth": 1e9}}},
    "flicker": {"read_noise": WHITE | {"flicker": FLICKER}},
    "steep flicker": {
        "read_noise": WHITE | {"flicker": FLICKER | {"slope": 1.3, "with_white": True}, "noisiest": 3.0}
    },
    "log flicker": {
        "read_noise": WHITE
        | {"flicker": {k: v for k, v in FLICKER.items() if k != "exponent"} | {"vanishes_at": 1e-6}}
    },
    "telegraph": {"read_noise": WHITE | {"telegraph": TELEGRAPH | DWELLS}},
    "spread devices": {name: BOARD[name] for name in ("fresh", "set", "reset", "devices")},
    "skewed devices": {
        **{name: BOARD[name] for name in ("fresh", "set", "reset")},
        "devices": {
            "skew": 0.7,
            "tail": 1.4,
            "set_threshold": 0.3,
            "set_slope": 0.5,
            "reset_shift": -0.2,
            "floor": 0.9,
        },
    },
    "ceiling": {"set": QUIET["set"] | {"ceiling": 60e-6, "cycle_spread": 0.1}},
    "stuck": {"stuck": BOARD["stuck"] | {"on_fraction": 0.15, "off_fraction": 0.2}},
    "dead lines": {"lines": BOARD["lines"] | {"word_fraction": 0.2, "bit_fraction": 0.2}},
    "weak": {
        "weak": {"limited_fraction": 0.3, "limited_low": 20e-6, "limited_high": 60e-6}
        | {"slow_fraction": 0.3, "slow_share": 0.4}
    },
    "forming": {
        "forming": {"voltage": 2.0, "spread": 0.1, "formed_fraction": 0.6, "pristine": 1e-7},
        "limits": QUIET["limits"] | {"form": QUIET["limits"]["set"]},
    },
    "overdrive": {"overdrive": {"voltage": 1.4, "probability": 0.1, "v_per_decade": 0.5, "conductance": 3e-6}},
    "nonlinear": {"nonlinearity": {"cubic": 4.0, "reference": 50e-6, "exponent": 0.6, "lowest": 5e-6}},
    "measured pulses": {
        "measured_pulses": {"set_voltage": 1.5, "reset_width": 1e-3, "rank_correlation": 0.5}
        | {"set": TABLE, "reset": FALLING}
    },
    "endurance": {"endurance": {"cycles": 5.0, "voltage": 1.2, "v_per_decade": 0.5, "middle": 30e-6, "spread": 0.5}},
    "sudden endurance": {
        "endurance": {"cycles": 4.0, "voltage": 1.2, "v_per_decade": 0.5, "middle": 30e-6, "steepness": 3.0}
    },
    "half selected": {
        "half_selected": {"same_word": 0.33, "same_bit": 0.3, "neither": -0.3, "set": CREEP, "reset": CREEP},
        "reset": QUIET["reset"] | {"gate_on": 0.1},
        "set": QUIET["set"] | {"cycle_spread": 0.05},
        "recipe": QUIET["recipe"] | {"max_steps": 3},  # each pulse acts on every cell
    },
    "temperature": {
        "temperature": {
            "reference": 300.0,
            "chip": 330.0,
            "relaxation_ev": 0.9,
            "conduction_ev": 0.1,
            "metallic": 40e-6,
        },
        "relaxation": RELAXES,
    },
    "relaxation": {"relaxation": RELAXES | {"correlation": (0.5, 0.7)}},
    "jumping": {"relaxation": RELAXES | JUMPS},
    "jumping within reach": {"relaxation": RELAXES | JUMPS | {"reach": (1.0, 0.6)}},
    "drift": {"relaxation": DRIFTS},
    "programming normal": {"programming": {"law": "normal", "g_max": 150e-6, "sd": (1e-6, 3e-6, -2e-6)}},
    "programming uniform": {"programming": {"law": "uniform", "g_max": 150e-6, "sd": (1e-6, 3e-6), "tilt": -0.4}},
    "programming by level": {"programming": BY_LEVEL, "stuck": BOARD["stuck"] | {"off_fraction": 0.2}},
    "wires": {
        "wires": {"r_word": 3.0, "r_bit": 2.0, "r_in": 10.0, "r_out": 5.0, "r_access": 500.0},
        "read_noise": WHITE,
    },
    "wires at both ends": {
        "wires": {"r_word": 3.0, "r_bit": 2.0, "r_in": 10.0, "drive": "both", "sense": "top", "open_bit": (2,)},
        "nonlinearity": {"cubic": 4.0, "reference": 50e-6},
    },
    "wires of their own": {
        "wires": {
            "r_word": tuple(range(1, 10)),
            "r_bit": tuple(range(7, 0, -1)),
            "drive": "right",
            "open_word": (-1,),
        },
    },
    "line drop": {
        "wires": {"r_word": 30.0, "r_bit": 20.0, "r_in": 10.0},
        "line_drop": {"through": 400.0},
        "endurance": {"cycles": 5.0, "voltage": 1.2, "v_per_decade": 0.5, "middle": 30e-6},
    },
    **{
        f"passive {selection}": {"wires": PASSIVE | {"selection": selection}, "read_noise": WHITE}
        for selection in ("ground", "float", "V/2", "V/3")
    },
    "converters": {"adc": ADC},
    "faulty converters": {
        "adc": ADC
        | {"missing": ((0.2, 8), (0.7, 2), (1.0, 5)), "inl": 0.02, "gain_spread": 0.05, "offset_spread": 0.02}
        | {"converters": 3, "signed": False},
    },
    "columns": {"columns": {"gain": 0.84, "gain_spread": 0.1, "offset_spread": 0.3e-6}},
    "sag": {"read_rate": {"drain": 0.1, "recovery": 2e-3}},
    "analog steps": {"inputs": {"coding": "analog", "bits": 5, "full_scale": 0.2}, "adc": ADC},
    "bit serial": {"inputs": {"coding": "bit-serial", "bits": 5, "full_scale": 0.2}, "adc": ADC},
    "bit serial in amperes": {"inputs": {"coding": "bit-serial", "bits": 5, "full_scale": 0.2}, "read_noise": WHITE},
    "unary": {
        "inputs": {"coding": "unary", "bits": 3, "full_scale": 0.2, "signed": False},
        "adc": ADC | {"missing": ((1.0, 3),)},
        "read_rate": {"drain": 0.1, "recovery": 2e-3},
    },
}
TOGETHER = (
    *("white", "flicker", "telegraph", "skewed devices", "stuck", "weak", "overdrive", "endurance", "temperature"),
    *("wires", "line drop", "faulty converters", "columns", "sag", "bit serial", "forming", "half selected"),
)


def profile(*names: str) -> TwinProfile:
    """The quiet profile with these sections; where two have a section in common its tables are merged."""
    tables: dict[str, Any] = dict(QUIET)
    for name in names:
        for key, section in SECTIONS[name].items():
            tables[key] = section if key not in tables else tables[key] | section
    return TwinProfile.model_validate(tables)


def on(mask: np.ndarray, kind: PulseKind, voltage: np.ndarray | float, gate: float, width: float = 1e-5) -> Pulses:
    return Pulses(kind, np.where(mask, voltage, np.nan), np.where(mask, gate, np.nan), width)


def session(chip: TwinProfile, seed: int = 5) -> dict[str, object]:
    """Pulses of all kinds, programming, reads in quick and in slow succession, and pauses."""
    rng = np.random.default_rng(seed)
    lowest = 0.0 if not chip.inputs.signed else -0.2
    vectors = rng.uniform(lowest, 0.2, (4, SHAPE[0]))
    found: dict[str, object] = {}
    with DigitalTwin(chip, SHAPE, seed) as twin:
        found["fresh"] = twin.cells.conductance
        found["faults"] = twin.cells.faults
        for step, (kind, gate) in enumerate(((PulseKind.SET, 1.0), (PulseKind.RESET, 4.0), (PulseKind.SET, 0.8))):
            mask = rng.random(SHAPE) < 0.6
            twin.apply_pulses(on(mask, kind, rng.uniform(0.4, 2.0, SHAPE), gate, 1e-5 * 10**step))
            found[f"pulsed {step}"] = twin.cells.conductance
        if chip.limits.form is not None:
            twin.apply_pulses(on(rng.random(SHAPE) < 0.7, PulseKind.FORM, 2.05, 1.0))
            found["formed"] = [twin.cells.formed, twin.cells.conductance]
        target = rng.uniform(chip.window.low, 0.8 * chip.window.high, SHAPE)
        report = twin.program_conductances(target, rng.random(SHAPE) < 0.5)
        found["report"] = report
        found["programmed"] = [twin.cells.conductance, twin.cells.stuck, twin.cells.wear]
        found["read"] = [twin.read_mvm(vectors), twin.read_conductances(averages=3), twin.read_mvm(vectors[0])]
        for seconds in (0.02, 30.0, 1e5):
            twin.wait(seconds)
            found[f"after {seconds:g} s"] = [twin.read_mvm(vectors), twin.read_conductances(), twin.time]
        if chip.temperature is not None:
            twin.set_temperature(360.0)
            twin.wait(100.0)
            found["hot"] = [twin.cells.conductance, twin.conducting, twin.read_mvm(vectors)]
        view = twin.wired_view()
        if view is not None:
            found["wired"] = view
    return found


def of_sections(*names: str) -> dict[str, object]:
    return session(profile(*names))


def in_numpy(*names: str) -> dict[str, object]:
    """Without compiled loops, which are tried elsewhere to give the same bits."""
    with patch.object(jit, "AVAILABLE", False):
        return of_sections(*names)


def of_preset(name: str) -> dict[str, object]:
    return session(TwinProfile.load(name))


CASES: dict[str, Callable[[], object]] = {
    **{name: partial(of_sections, name) for name in SECTIONS},
    "together": partial(of_sections, *TOGETHER),
    **{f"{name} in numpy": partial(in_numpy, name) for name in ("flicker", "telegraph", "faulty converters", "sag")},
    **{f"preset {name}": partial(of_preset, name) for name in preset_names()},
}
