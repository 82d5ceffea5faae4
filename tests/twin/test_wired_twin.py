"""What a twin with wires reads, and how noisy, against the full solve."""

import numpy as np
import pytest

from imssa_lab.contract.hal import Pulses
from twin import DigitalTwin, TwinProfile
from twin.noise import ReadNoise
from twin.periphery.columns import Columns, Inputs
from twin.wires.nodal import solve
from twin.wires.wire_resistance import WiredView, Wires, effective_matrix, sensitivity, turned


def exact_noise(conductance: np.ndarray, sd: np.ndarray, wires: Wires, drive: np.ndarray) -> np.ndarray:
    """Standard deviation of every output for small independent changes of the cells: adjoint of the full solve."""
    across = solve(conductance, wires, drive).cell_voltage
    back = solve(conductance.T[::-1, ::-1], turned(wires), np.eye(conductance.shape[1])).cell_voltage
    adjoint = back[::-1].transpose(0, 2, 1)[:, ::-1, ::-1]
    return np.sqrt(np.einsum("nij,cij,ij->nc", across**2, adjoint**2, sd**2))


def test_sensitivity_gives_the_noise_of_an_output() -> None:
    """32 x 32 cells of 2-150 uS, 2 Ohm a segment, signed drive: within 4 % of the exact law for every output."""
    rng = np.random.default_rng(4)
    conductance, wires = rng.uniform(2e-6, 150e-6, (32, 32)), Wires(r_word=2, r_bit=2)
    drive, sd = rng.uniform(-0.2, 0.2, (20, 32)), 1e-7 * np.sqrt(conductance)
    exact = exact_noise(conductance, sd, wires, drive)
    ours = np.sqrt(drive**2 @ (sd * sensitivity(conductance, wires)) ** 2)
    view = WiredView.of(conductance, wires)
    by_line = view.bit_share * np.sqrt((drive * view.word_share) ** 2 @ sd**2)
    assert np.abs(ours / exact - 1).max() < 0.04
    assert np.abs(by_line / exact - 1).max() < 0.04
    assert np.abs(np.sqrt(drive**2 @ sd**2) / exact - 1).max() > 0.1  # null control: as if there were no wires


def test_sensitivity_of_one_cell_is_the_derivative() -> None:
    wires = Wires(r_word=100, r_bit=200, r_in=30, r_out=40, r_access=500)
    at, step = np.array([[1e-3]]), 1e-8
    slope = (effective_matrix(at + step, wires) - effective_matrix(at - step, wires)) / (2 * step)
    assert sensitivity(at, wires) == pytest.approx(slope, rel=1e-6)


def test_reads_of_single_cells() -> None:
    """By transistor each cell has its own path; without one the read is that of the whole array."""
    conductance = np.full((3, 2), 1e-3)
    got = WiredView.of(conductance, Wires(r_word=1, r_bit=10, r_in=100, r_out=1000, r_access=10000)).cells
    assert 1 / got == pytest.approx(1000 + 11100 + np.array([[31, 32], [21, 22], [11, 12]]))
    passive = Wires(r_word=1, r_bit=10, selector="none")
    assert np.array_equal(WiredView.of(conductance, passive).cells, effective_matrix(conductance, passive))


def wired(preset: str, wires: Wires | None) -> TwinProfile:
    return TwinProfile.load(preset).model_copy(update={"wires": wires})


@pytest.mark.parametrize("selector", ["transistor", "none"])
def test_twin_reads_through_its_wires(selector: str) -> None:
    """Products, and reads of single cells, against the full solve; also after programming and after a failure."""
    wires = Wires(r_word=1, r_bit=3, r_in=20, r_out=5, selector=selector)
    twin = DigitalTwin(wired("ideal", wires), (12, 8), seed=0)
    rng = np.random.default_rng(6)
    drive = rng.uniform(-0.2, 0.2, (4, 12))
    for change in range(3):
        if change == 1:
            twin.program_conductances(rng.uniform(2e-6, 150e-6, (12, 8)))
        if change == 2:
            twin.cells.stick(rng.random((12, 8)) < 0.2, 150e-6)
        truth = solve(twin.cells.conductance, wires, drive).current
        assert np.abs(twin.read_mvm(drive) - truth).max() < 1e-13 * np.abs(truth).max()
        assert np.array_equal(twin.read_mvm(drive[1]), twin.read_mvm(drive)[1])
        if selector == "none":
            alone = solve(twin.cells.conductance, wires, np.eye(12)).current
        else:
            # All other cells switched off: a circuit of its own for every cell.
            alone = np.zeros((12, 8))
            for row, col in np.ndindex(12, 8):
                only = np.zeros((12, 8))
                only[row, col] = twin.cells.conductance[row, col]
                alone[row, col] = solve(only, wires, np.eye(12)[[row]]).current[0, col]
        assert twin.read_conductances() == pytest.approx(alone, rel=1e-11)


def test_twin_without_resistance_is_the_twin_without_wires() -> None:
    """With all noise, every bit: the noise too goes through wires that are not there unchanged."""
    drive = np.random.default_rng(7).uniform(0.0, 0.2, (5, 16))
    plain = DigitalTwin(wired("supert-a0-easy", None), (16, 12), seed=1)
    through = DigitalTwin(wired("supert-a0-easy", Wires(r_word=0, r_bit=0)), (16, 12), seed=1)
    assert np.array_equal(plain.read_mvm(drive), through.read_mvm(drive))
    assert np.array_equal(plain.read_conductances(), through.read_conductances())


def test_twin_works_the_matrix_out_once_per_programming_state(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    real = WiredView.through
    monkeypatch.setattr(WiredView, "through", lambda *given: done.append(1) or real(*given))
    twin = DigitalTwin(wired("ideal", Wires(r_word=1, r_bit=1)), (8, 8))
    for _ in range(3):
        twin.read_mvm(np.full(8, 0.1))
        twin.read_conductances()
    assert len(done) == 1
    twin.apply_pulses(Pulses.on(np.eye(8, dtype=bool), "SET", 2.0, 1.2, 1e-6))
    twin.read_mvm(np.full((3, 8), 0.1))
    assert len(done) == 2


def test_noise_of_a_wired_twin_has_the_exact_law() -> None:
    """White noise, 40,000 reads: sd of every output within 4 % of the exact law, the adjoint of the full solve.

    Four standard errors of a measured sd are 1.4 %, the rest is for the approximation; without wires in it the
    noise of some output would come out 12 % and more too large.
    """
    wires = Wires(r_word=2, r_bit=2)
    profile = wired("supert-a0-easy", wires).model_copy(
        update={
            "read_noise": ReadNoise(reference=50e-6, sd_median=1e-6, sd_spread=0.4, exponent=1.0),
            "inputs": Inputs(full_scale=0.2),
            "adc": None,
            "columns": Columns(gain=1, gain_spread=0, offset_spread=0),
        }
    )
    twin = DigitalTwin(profile, (32, 24), seed=3)
    twin.cells.conductance = np.random.default_rng(8).uniform(2e-6, 150e-6, (32, 24))
    sd = np.sqrt(twin.noise.white_variance(twin.cells.conductance))
    drive = np.random.default_rng(9).uniform(-0.2, 0.2, 32)
    got = twin.read_mvm(np.tile(drive, (40_000, 1)), raw=True).std(axis=0)
    assert got / exact_noise(twin.cells.conductance, sd, wires, drive[None])[0] == pytest.approx(1, abs=0.04)
    assert (np.sqrt(drive**2 @ sd**2) / got).max() > 1.12
    cells = twin.read_conductances(averages=1)
    assert np.abs(cells - WiredView.of(twin.cells.conductance, wires).cells).max() < 6 * sd.max()
