"""Many chips of one kind read at once by torch, on the processor or on a graphics card: Monte Carlo of closed loops.

The physics is that of `twin.digital_twin` where it is plain, in float32 and with noise from a generator of torch:
statistics are those of the twins, bits are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from imssa_lab.contract.closed_loop import LoopBank
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from twin.digital_twin import DigitalTwin
from twin.fast.coverage import NOT_OF_READS, Claims, absent, any_value, fields, not_covered, section
from twin.fast.exact_products import SteppedProduct
from twin.noise import ReadNoise
from twin.periphery.columns import Columns
from twin.periphery.converter import Adc
from twin.periphery.inputs import Inputs
from twin.profile import TwinProfile
from twin.wires.wire_resistance import Wires

CLAIMS: Claims = {
    TwinProfile: {
        **dict.fromkeys(NOT_OF_READS, any_value),
        "read_voltage": any_value,
        **dict.fromkeys(("read_noise", "inputs", "columns"), section),
        "adc": lambda adc: adc is not None,
        "wires": lambda wires: wires is None or type(wires) is Wires,
        **dict.fromkeys(("nonlinearity", "read_rate", "relaxation", "temperature"), absent),
    },
    ReadNoise: {
        **fields("reference sd_median sd_spread exponent noisiest"),
        **dict.fromkeys(("flicker", "telegraph", "electronic"), absent),
    },
    Inputs: {"coding": lambda coding: coding == "analog", **fields("bits full_scale signed")},
    Adc: {
        **fields("bits full_scales signed headroom converters"),
        **dict.fromkeys(("missing", "inl", "gain_spread", "offset_spread"), absent),
    },
    Columns: fields("gain gain_spread offset_spread"),
    Wires: fields("r_word r_bit r_in r_out r_access selector drive sense selection open_word open_bit"),
}
"""What is computed here, field by field."""


def is_plain(profile: TwinProfile) -> bool:
    """Whether the physics of this kind of chip is plain: analog inputs in steps, white noise, perfect converters."""
    return not_covered(profile, CLAIMS) is None and SteppedProduct.suits(
        profile.limits.read_voltage, profile.inputs.step
    )


class TwinsTogether:
    """The arrays with the same number on many chips, as they are now: cells, columns and calibrations.

    Args:
        twins: one array of each chip, of one profile and shape.
        rng: where noise is drawn; its device computes.

    Raises:
        ConfigError: they differ, or their physics is not plain (see `is_plain`).
    """

    def __init__(self, twins: Sequence[DigitalTwin], rng: torch.Generator) -> None:
        profile, shape = twins[0].profile, twins[0].info.shape
        if any(twin.profile != profile or twin.info.shape != shape for twin in twins):
            raise ConfigError("twins read together must be of one profile and shape")
        if not is_plain(profile) or profile.adc is None or profile.inputs.step is None:
            raise ConfigError(
                f"{profile.name}: chips whose cells or converters have memory or faults are not read together; leave "
                "the device out"
            )
        self._rng, self._step = rng, profile.inputs.step
        self._top, self._signed = float(profile.adc.top), profile.adc.signed
        self._full_scales = self._tensor(profile.adc.full_scales)
        self._next_range = profile.adc.headroom * self._full_scales
        views = [twin.wired_view() for twin in twins]
        cells = [twin.cells.conductance for twin in twins]
        rows, cols = shape
        self._matrix = self._stack(g if v is None else v.matrix for g, v in zip(cells, views, strict=True))
        self._variance = self._stack(t.noise.white_variance(g) for t, g in zip(twins, cells, strict=True))
        self._word_share = self._stack(np.ones(rows) if v is None else v.word_share for v in views)
        self._bit_share = self._stack(np.ones(cols) if v is None else v.bit_share for v in views)[:, None]
        self._gain = self._stack(twin.columns.gain for twin in twins)[:, None]
        self._offset = self._stack(twin.columns.offset for twin in twins)[:, None]
        calibrations = [twin.calibration for twin in twins]
        self._corrected_gain = self._stack(np.ones(cols) if c is None else c.gain for c in calibrations)[:, None]
        self._corrected_offset = self._stack(np.zeros(cols) if c is None else c.offset for c in calibrations)[:, None]

    @torch.no_grad()
    def run(self, bank: LoopBank, spreads: FloatArray, inputs: Tensor) -> Tensor:
        """Outputs (chips, n, steps, kernels) of one bank in closed loop from rest, as `ClosedLoop` has it.

        Args:
            spreads: what each read of a step adds, see `ClosedLoop`.
            inputs: (chips, n, steps, kernels), on the device.
        """
        drive, per_ampere = self._tensor(bank.drive), self._tensor(bank.per_ampere)
        keep, added = self._tensor(bank.keep)[:, None], self._tensor(spreads)[:, None, None, None]
        plus = torch.tensor(bank.plus, device=self._rng.device)
        rows = torch.tensor(bank.rows.ravel(), device=self._rng.device)
        held = self._matrix[:, rows], self._variance[:, rows], self._word_share[:, None, rows]
        chips, n, steps, kernels = inputs.shape
        given = inputs / self._tensor(bank.input_scale)
        state = inputs.new_zeros(chips, n, kernels, bank.rows.shape[1] - 1)
        outputs = torch.empty_like(inputs)
        for step in range(steps):
            wanted = torch.cat([given[:, :, step, :, None], state], -1)
            volts = drive * (wanted[:, None] + added).clamp(-1.0, 1.0)  # full scale
            current = self._read(volts.reshape(chips, -1, len(rows)), *held)
            mean = current.reshape(chips, len(spreads), n, -1).mean(1)
            out = (mean[..., plus] - mean[..., plus + 1]) * per_ampere
            state = (keep * state + out[..., :-1]).clamp(-1.0, 1.0)
            outputs[:, :, step] = out[..., -1]
        return outputs

    def _read(self, volts: Tensor, matrix: Tensor, variance: Tensor, share: Tensor) -> Tensor:
        """Currents (chips, n, cols), A, as converters and calibrations tell them, for volts (chips, n, lines).

        Args:
            matrix: S, variance: S^2, (chips, lines, cols); share: of the voltage that acts, (chips, 1, lines).
        """
        coded = torch.round(volts / self._step) * self._step
        spread = torch.sqrt((coded * share).square() @ variance)
        drawn = torch.randn(spread.shape, generator=self._rng, device=spread.device)
        current = self._gain * (coded @ matrix + self._bit_share * drawn * spread) + self._offset
        size = current.abs() if self._signed else current.clamp_min(0.0)
        chosen = torch.searchsorted(self._next_range, size).clamp_max(len(self._full_scales) - 1)
        full_scale = self._full_scales[chosen]
        code = torch.round((size / full_scale).clamp_max(1.0) * self._top)
        told = torch.sign(current) * code * full_scale / self._top
        return self._corrected_gain * told + self._corrected_offset

    def _stack(self, arrays: Iterable[FloatArray]) -> Tensor:
        return self._tensor(np.stack(list(arrays)))

    def _tensor(self, values: FloatArray | Sequence[float]) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=self._rng.device)
