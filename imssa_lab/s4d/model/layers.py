"""The S4D layer as real 2x2 blocks in state-normalised form, trained by convolution, deployed by recurrence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imssa_lab.s4d.bundle import INCREMENT_HEADROOM, STATE_HEADROOM
from imssa_lab.s4d.model.convolution import convolve, final_state, free_response, impulse_response, stabilised
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.pole_forms import PoleForm, exact, pole_form
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.quantisers import TINY, Converter, Exact, Ternary, straight_through, weight_quantiser

CHUNK = 16384
"""Longer sequences are convolved piece by piece, so that memory grows with the piece and not with the sequence."""


Matrices = tuple[Tensor, Tensor, Tensor, Tensor]
"""M (H, N, 2, 2), b (H, N, 2), c (H, N, 2) and d (H,)."""


class S4DLayer(nn.Module):
    """H single-input single-output kernels with N complex states each.

    x[k+1] = M x[k] + b u[k], y[k] = c . x[k] + d u[k], M = (a, -q; q, a) of a pole a + i q, b = (sqrt(1 - r^2), 0),
    so that every state's impulse response has unit energy. The input matrix of S4D is absorbed into c. Gu et al.,
    arXiv 2206.11893.

    Args:
        poles: H x N of them.
        rng: draws the initial values.
        memory: False freezes c at zero, which leaves a layer without state (the null control).
    """

    def __init__(self, poles: Poles, rng: torch.Generator, *, memory: bool = True) -> None:
        super().__init__()
        channels, states = poles.a_re.shape
        self.poles = poles
        c = torch.randn(channels, states, 2, generator=rng) / states
        self.c = nn.Parameter(c if memory else torch.zeros_like(c), requires_grad=memory)
        self.d = nn.Parameter(0.5 * torch.randn(channels, generator=rng))
        self.b_quantiser: nn.Module = Exact()
        self.c_quantiser: nn.Module = Exact()
        self.d_quantiser: nn.Module = Exact()
        self._output_quantiser = Ternary((1,))
        self.state_converter = Converter((channels, states, 1))
        self.increment_converter = Converter((channels, states, 2))
        self.output_converter = Converter((channels,))
        self._errors: CellErrors | None = None
        self._input_share = torch.ones(channels)
        self._judged = False
        self._error: Tensor | None = None
        self._rng = rng
        self._form: PoleForm = exact
        self._delta = True
        self._tied_b = self._tied_d = False

    def set_precision(self, precision: Precision) -> None:
        """Hold poles, b and c (one scale per channel), d (one for the layer) and converters at these widths."""
        with torch.no_grad():
            b = self.matrices()[1][..., 0]
            self._form, self._delta = pole_form(precision), precision.form == "delta"
            self._tied_b, self._tied_d = precision.b == "tied", precision.d == "tied"
            if self._tied_b:  # the same kernels from other input gains
                self.c.mul_((b / self.matrices()[1][..., 0])[..., None])
        self.b_quantiser = Exact() if precision.b == "tied" else weight_quantiser(precision.b, (1,), b, precision)
        self.c_quantiser = weight_quantiser(precision.c, (1, 2), self.c, precision)
        self.d_quantiser = (
            Exact() if precision.d == "tied" else weight_quantiser(precision.d, (0,), self.d, precision)
        )
        self.state_converter.bits, self.output_converter.bits = precision.state, precision.output
        self.increment_converter.bits = precision.increment

    def set_cell_errors(self, errors: CellErrors | None, rng: torch.Generator, judged: bool = False) -> None:
        """In training, put errors of programmed cells on the weights, drawn from `rng`; None for none.

        `judged`: keep what they do to the outputs, for `error_by_cells`.
        """
        self._errors, self._rng, self._judged = errors, rng, judged and errors is not None

    def error_by_cells(self) -> Tensor:
        """Mean over the kernels of the NRMSE that errors of cells gave the last outputs in training, ().

        Without their mean, as a deployment corrects offsets. Asked for once.
        """
        assert self._error is not None
        error, self._error = self._error, None
        return error

    def calibrate_state(self, u: Tensor) -> None:
        """Set full scales for inputs u (n, steps, H): of states, of columns' increments, and of u and x on arrays.

        Slow states may be many times smaller than fast ones of their channel. In the delta form, where states are
        digital accumulators, each has a full scale of its own; in the others its channel's.
        """
        transition, b, _, _ = self.matrices()
        x, peak, change = u.new_zeros(len(u), *b.shape), torch.zeros_like(b[..., :1]), torch.zeros_like(b)
        for now in u.unbind(1):
            following = torch.einsum("hnij,bhnj->bhni", transition, x) + b * now[..., None, None]
            change = torch.maximum(change, (following - x).detach().abs().amax(0))
            x = following
            peak = torch.maximum(peak, x.detach().abs().amax((0, 3))[..., None])
        largest = peak.amax(1, keepdim=True)
        self.state_converter.full_scale.copy_(STATE_HEADROOM * (peak if self._delta else largest.expand_as(peak)))
        self._input_share = u.detach().abs().amax() / (STATE_HEADROOM * largest[:, 0, 0]).clamp_min(TINY)
        self.increment_converter.full_scale.copy_(INCREMENT_HEADROOM * change)

    def matrices(self) -> Matrices:
        """Effective M (H, N, 2, 2), b (H, N, 2), c (H, N, 2), d (H,) at the current precision."""
        real, imag = self.poles()
        real, imag = self._form(real, imag, self.poles.r_max)
        energy = torch.sqrt((1.0 - real**2 - imag**2).clamp_min(1e-9))
        beta = 1.0 - real if self._tied_b else self.b_quantiser(energy)
        transition = torch.stack([torch.stack([real, -imag], -1), torch.stack([imag, real], -1)], -2)
        b = torch.stack([beta, torch.zeros_like(beta)], -1)
        if self._tied_d:
            outputs = self._output_quantiser(torch.cat([self.c.flatten(1), self.d[:, None]], 1))
            return transition, b, outputs[:, :-1].unflatten(1, self.c.shape[1:]), outputs[:, -1]
        return transition, b, self.c_quantiser(self.c), self.d_quantiser(self.d)

    def kernel(self, steps: int) -> Tensor:
        """Impulse response (H, steps): K[0] = d, K[l] = c . M^(l-1) b."""
        return impulse_response(*self.matrices(), steps)

    def forward(self, u: Tensor) -> Tensor:
        """Outputs (n, steps, H) for inputs of the same shape, from a zero state.

        By convolution. Where state or increments have a converter, values are those of the recurrence, and training
        takes the gradient of the convolution, as if nothing were rounded. Training puts the cells' errors on M (on
        M - 1 in the delta form), b and c; a block that they made unstable is scaled back, as digital column factors
        can do.
        """
        rounded = (self.state_converter.bits, self.increment_converter.bits) != ("float", "float")
        if rounded and not self.training:
            return self.recur(u)[0]
        exact = matrices = self.matrices()
        if self.training and self._errors is not None:
            matrices = self._in_cells(self._errors, *exact)
        outputs = _convolved(u, matrices)
        if self.training and self._judged:
            self._error = _nrmse(outputs, _convolved(u, exact))
        if rounded:
            with torch.no_grad():
                held, _ = self._recurrence(u, matrices, None)
            outputs = straight_through(outputs, held)
        return self._converted(outputs)

    def _in_cells(self, errors: CellErrors, transition: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Matrices:
        """The matrices as cells with errors hold them, by column or by kind of weight."""
        origin = torch.eye(2, device=b.device) if self._delta else torch.zeros(2, 2, device=b.device)
        if self._three_levels or errors.by_column:
            share = torch.ones_like(d) if self._three_levels else self._input_share
            gains = (share[:, None, None] * b)[..., None]
            columns = errors.apply(torch.cat([gains, transition - origin], -1), (3,), self._rng)
            outputs = errors.apply(torch.cat([c.flatten(1), (share * d)[:, None]], 1), (1,), self._rng)
            held = stabilised(origin + columns[..., 1:], self.poles.r_max)
            c = outputs[:, :-1].unflatten(1, c.shape[1:])
            return held, columns[..., 0] / share[:, None, None], c, outputs[:, -1] / share
        held = stabilised(origin + errors.apply(transition - origin, (1, 2, 3), self._rng), self.poles.r_max)
        return held, errors.apply(b, (1, 2), self._rng), errors.apply(c, (1, 2), self._rng), d

    @property
    def _three_levels(self) -> bool:
        """Whether inputs and states have one full scale on arrays."""
        return self._tied_b and self._tied_d

    def step(self, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step of the recurrence: u (n, H), state (n, H, N, 2) or None for zero -> output (n, H), next state."""
        outputs, state = self.recur(u[:, None], state)
        return outputs[:, 0], state

    def recur(self, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Recurrent mode: u (n, steps, H) -> outputs (n, steps, H) and the state after the last step, (n, H, N, 2).

        Equal to the convolution mode from a zero state, to float32 rounding, unless state or increments have a
        converter: the cells then see a rounded state, while in the delta form the state itself keeps all its digits;
        and the errors of rounded increments add up in it.
        """
        outputs, x = self._recurrence(u, self.matrices(), state)
        return self._converted(outputs), x

    def _recurrence(self, u: Tensor, matrices: Matrices, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """`recur` with given matrices, and before the converter of the outputs."""
        transition, b, c, d = matrices
        x = u.new_zeros(len(u), *b.shape) if state is None else state
        outputs = []
        for now in u.unbind(1):
            seen = self.state_converter.rounded(x)
            outputs.append((c * seen).sum((-2, -1)) + d * now)
            moved = torch.einsum("hnij,bhnj->bhni", transition, seen) + b * now[..., None, None]
            if self.increment_converter.bits != "float":  # what the cells give, of the delta form
                x = x + self.increment_converter.rounded(moved - seen)
            else:
                x = moved + (x - seen) if self._delta else moved
        return torch.stack(outputs, 1), x

    def _converted(self, outputs: Tensor) -> Tensor:
        converted: Tensor = self.output_converter(outputs)
        return converted


def _nrmse(outputs: Tensor, exact: Tensor) -> Tensor:
    """Of outputs (n, steps, H), without their mean, the mean over H, ()."""
    squared, variance = (outputs - exact).var((0, 1)), exact.var((0, 1))
    return torch.sqrt(squared.clamp_min(_TINY_VARIANCE) / variance.clamp_min(_TINY_VARIANCE)).mean()


_TINY_VARIANCE = 1e-9
"""A root has no gradient at zero."""


def _convolved(u: Tensor, matrices: Matrices) -> Tensor:
    """Outputs (n, steps, H) from a zero state, by convolution; long sequences in pieces."""
    transition, b, c, d = matrices
    steps = u.shape[1]
    if steps <= CHUNK:
        return convolve(u, impulse_response(transition, b, c, d, steps))
    state, outputs = u.new_zeros(len(u), *b.shape), []
    for piece in u.split(CHUNK, dim=1):
        y, state = checkpoint(_piece, transition, b, c, d, piece, state, use_reentrant=False)
        outputs.append(y)
    return torch.cat(outputs, 1)


def _piece(transition: Tensor, b: Tensor, c: Tensor, d: Tensor, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One piece of a long sequence: its outputs and the state after it."""
    steps = u.shape[1]
    outputs = convolve(u, impulse_response(transition, b, c, d, steps)) + free_response(transition, c, state, steps)
    return outputs, final_state(transition, b, u, state)
