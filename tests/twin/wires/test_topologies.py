"""Lines with other ends, other resistances or no end at all: against Kirchhoff's current law, and in the twin."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract import jit
from imssa_lab.contract.errors import ConfigError, LimitError
from trials.circuits.kirchhoff import Crossbar
from trials.circuits.topologies import Topology, topologies
from twin import DigitalTwin, TwinProfile
from twin.cells import Nonlinearity
from twin.noise import ReadNoise
from twin.wires.nodal import CubicCells, solve
from twin.wires.selection import SelectedReads
from twin.wires.wire_resistance import WiredCells, WiredView, Wires, effective_matrix, sensitivity, turned

CASES = list(topologies(36, 4))
HARD = Wires(
    r_word=(3.0, 0.0, 50.0, 20.0, 7.0),
    r_bit=(0.0, 40.0, 10.0, 25.0),
    r_in=30.0,
    r_out=12.0,
    drive="both",
    sense="both",
    open_word=(1,),
    open_bit=(-1,),
)


def cells(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(2e-6, 150e-6, (rows, cols))


# ---- the dense solution itself, against what can be written down


def one_cell(**given: object) -> Crossbar:
    ends = dict.fromkeys(("left", "right", "bottom", "top"), np.array([True])) | given
    return Crossbar(np.array([[1e-3]]), np.array([100.0]), np.array([50.0]), r_in=20.0, r_out=10.0, **ends)  # type: ignore[arg-type]


def test_dense_solution_of_one_cell_and_of_four() -> None:
    off = np.array([False])
    for given, ohm in (({}, 60 + 30), ({"right": off}, 120 + 30), ({"top": off, "left": off}, 120 + 60)):
        into, out = one_cell(**given).currents([0.3], [0.1])
        assert into[0] == out[0] == pytest.approx(0.2 / (1000 + ohm), rel=1e-14)
    on, none = np.array([True, True]), np.zeros(2)
    g = np.array([[1e-4, 2e-4], [3e-4, 4e-4]])
    bare = Crossbar(g, none, none, on, ~on, on, ~on)
    assert bare.currents([1.0, 0.5], [0.0, 0.5])[1][0] == pytest.approx(1e-4 + 3e-4 / 2, rel=1e-14)
    sneak = 1 / (1 / 2e-4 + 1 / 4e-4 + 1 / 3e-4)
    assert bare.currents([1.0, None], [0.0, None])[1][0] == pytest.approx(1e-4 + sneak, rel=1e-14)


# ---- the twin's solvers against it


@pytest.mark.parametrize("case", CASES, ids=str)
def test_products_and_reads_are_kirchhoffs(case: Topology) -> None:
    """By both ways, with the bit lines at voltages of their own too; cells one by one by the wires' own selection."""
    truth, scale = case.matrix, case.scale
    assert np.abs(effective_matrix(case.conductance, case.wires) - truth).max() < 1e-12 * scale
    assert np.abs(solve(case.conductance, case.wires, np.eye(len(truth))).current - truth).max() < 1e-12 * scale
    got = solve(case.conductance, case.wires, case.drive[None], case.bias[None])
    into, out = case.crossbar.currents(case.drive.tolist(), case.bias.tolist())
    assert np.abs(got.current[0] - out).max() < 1e-12 * scale
    assert np.abs(got.cell_current.sum(axis=2)[0] - into).max() < 1e-12 * scale
    assert np.abs(got.supplied - got.dissipated).max() <= 1e-10 * max(got.dissipated.max(), 1e-15)
    if case.wires.selection != "ground":
        reads = SelectedReads.of(case.conductance, case.wires)
        assert np.abs(reads.cells - case.reads(case.conductance)).max() < 1e-12 * scale
        change = 1e-4 * case.conductance * np.random.default_rng(1).standard_normal(case.conductance.shape)
        slope = (case.reads(case.conductance + change) - case.reads(case.conductance - change)) / 2
        assert np.abs(reads.after(change[None])[0] - reads.cells - slope).max() < 1e-5 * np.abs(change).max()


def test_the_cases_have_every_topology() -> None:
    wires = [case.wires for case in CASES]
    assert {(w.drive, w.sense) for w in wires} == {
        (d, s) for d in ("left", "right", "both") for s in ("bottom", "top", "both")
    }
    assert {w.selection for w in wires} == {"ground", "float", "V/2", "V/3"}
    assert sum(bool(w.open_word) for w in wires) > 5 < sum(bool(w.open_bit) for w in wires)
    assert sum(isinstance(w.r_word, tuple) for w in wires) > 5 < sum(isinstance(w.r_bit, tuple) for w in wires)
    assert any((case.conductance == 0).any() for case in CASES)


@pytest.mark.parametrize(
    "change",
    [
        {"drive": "left"},
        {"drive": "right"},
        {"sense": "bottom"},
        {"sense": "top"},
        {"open_word": ()},
        {"open_bit": ()},
        {"open_word": (2,)},
        {"r_word": HARD.r_word[::-1]},  # type: ignore[index]
        {"r_bit": HARD.r_bit[::-1]},  # type: ignore[index]
    ],
    ids=str,
)
def test_null_control_another_end_or_line_is_another_array(change: dict) -> None:
    right, wrong = (effective_matrix(cells(5, 4), w) for w in (HARD, HARD.model_copy(update=change)))
    assert np.abs(wrong - right).max() > 1e-4 * right.max()


def test_lists_of_equal_resistances_are_one_resistance_to_the_last_bit() -> None:
    g, one = cells(6, 5), Wires(r_word=3.0, r_bit=2.0, r_in=4.0)
    lists = one.model_copy(update={"r_word": (3.0,) * 6, "r_bit": (2.0,) * 5})
    assert np.array_equal(effective_matrix(g, one), effective_matrix(g, lists))
    assert np.array_equal(sensitivity(g, one), sensitivity(g, lists))


def test_symmetric_arrays_have_symmetric_currents() -> None:
    """Equal cells, driven and sensed at both ends: the matrix is its own mirror in both directions."""
    wires = Wires(r_word=5.0, r_bit=9.0, r_in=3.0, r_out=2.0, drive="both", sense="both")
    got = effective_matrix(np.full((6, 5), 1e-4), wires)
    assert got == pytest.approx(got[::-1], rel=1e-13)
    assert got == pytest.approx(got[:, ::-1], rel=1e-13)
    assert got[0, 0] > 1.003 * got[2, 2]  # the middle is farthest from all ends
    alone = effective_matrix(np.full((6, 5), 1e-4), wires.model_copy(update={"drive": "left", "sense": "bottom"}))
    assert (got > alone).all()


@pytest.mark.parametrize("case", CASES[:18], ids=str)
def test_reciprocity_of_all_topologies(case: Topology) -> None:
    turned_cells = case.conductance.T[::-1, ::-1]
    back = effective_matrix(turned_cells, turned(case.wires))[::-1, ::-1].T
    assert np.abs(back - effective_matrix(case.conductance, case.wires)).max() < 1e-12 * case.scale
    assert turned(turned(case.wires)) == case.wires


def test_nonlinear_cells_in_a_line_that_floats() -> None:
    """Currents of cubic cells: none from a floating line in sum, and the dense solution at their chords."""
    law = CubicCells(cells(5, 4) * 10, 20.0)
    drive, bias = np.array([[0.4, 9.9, -0.3, 0.2, 0.5]]), np.array([[0.1, 0.0, -0.1, 9.9]])
    got = solve(law, HARD, drive, bias)
    assert np.abs(got.cell_current.sum(axis=2)[0, 1]) < 1e-14 > np.abs(got.current[0, 3])
    chord = got.cell_current[0] / got.cell_voltage[0]
    on_word, on_bit = np.arange(5) != 1, np.arange(4) != 3
    word, bit = np.array(HARD.r_word), np.array(HARD.r_bit)
    dense = Crossbar(chord, word, bit, on_word, on_word, on_bit, on_bit, 30.0, 12.0)
    assert got.current[0] == pytest.approx(dense.currents(drive[0].tolist(), bias[0].tolist())[1], abs=1e-14)


def test_a_cell_alone_has_the_path_of_its_ends() -> None:
    """Its neighbours off: two ends are in parallel; through an open line nothing is read."""
    g = np.zeros((5, 4))
    got = WiredView.of(cells(5, 4), HARD).cells
    for row, col in np.ndindex(5, 4):
        g[:] = 0.0
        g[row, col] = cells(5, 4)[row, col]
        assert got[row, col] == pytest.approx(effective_matrix(g, HARD)[row, col], rel=1e-12)
    assert not got[1].any()
    assert not got[:, 3].any()
    assert np.isfinite(WiredView.of(np.zeros((5, 4)), HARD).cells).all()


def test_sensitivity_of_arrays_with_two_ends() -> None:
    """The noise law by cell, against differences of the matrix, for light wires: within 2 %."""
    bits = (3.0, 0.0, 9.0, 30.0, 1.0, 90.0)
    wires = Wires(r_word=2.0, r_bit=bits, r_in=1.0, drive="both", sense="both")
    g, step = cells(8, 6), 1e-9
    share = sensitivity(g, wires)
    for row, col in ((0, 0), (3, 1), (4, 3), (7, 5)):
        moved = g.copy()
        moved[row, col] += step
        slope = (effective_matrix(moved, wires) - effective_matrix(g, wires))[row, col] / step
        assert share[row, col] == pytest.approx(slope, rel=0.02)


@pytest.mark.parametrize("selection", ["float", "V/2"])
def test_parts_of_an_array_without_a_way_between_them(selection: str) -> None:
    """Two blocks of cells, one of them on open lines, and a line of open cells: nothing crosses, nothing fails."""
    g = cells(5, 5)
    g[:3, 3:] = g[3:, :3] = g[:, 4] = 0.0
    wires = Wires(
        r_word=7.0, r_bit=3.0, drive="both", selector="none", selection=selection, open_word=(3, 4), open_bit=(3, 4)
    )
    held, on = np.array([True] * 3 + [False] * 2), np.ones(5)
    case = Topology(g, wires, on, on, Crossbar(g, 7 * on, 3 * on, held, held, held, held & False))
    assert np.abs(effective_matrix(g, wires) - case.matrix).max() < 1e-12 * case.scale
    got = solve(g, wires, np.eye(5))
    assert np.abs(got.current - case.matrix).max() < 1e-12 * case.scale
    assert not got.cell_voltage[:, 3:, 3:].any()
    assert np.abs(SelectedReads.of(g, wires).cells - case.reads(g)).max() < 1e-12 * case.scale
    assert not got.current[:, 3:].any()


def test_floating_reads_of_separate_blocks() -> None:
    g = cells(5, 5)
    g[:3, 3:] = g[3:, :3] = 0.0
    wires, on = Wires(r_word=7.0, r_bit=3.0, selector="none", selection="float"), np.ones(5, dtype=bool)
    case = Topology(g, wires, 1.0 * on, 1.0 * on, Crossbar(g, 7.0 * on, 3.0 * on, on, ~on, on, ~on))
    got = SelectedReads.of(g, wires).cells
    assert np.abs(got - case.reads(g)).max() < 1e-12 * case.scale
    assert not got[:3, 3:].any()


# ---- twins with such lines


def profile(wires: Wires, **sections: object) -> TwinProfile:
    return TwinProfile.load("supert-a0-easy").model_copy(update={"wires": wires, **sections})


@pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")
def test_compiled_reads_give_the_bits_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = DigitalTwin(profile(HARD), (5, 4), 1)
    monkeypatch.setattr(jit, "AVAILABLE", False)
    plain = DigitalTwin(profile(HARD), (5, 4), 1)
    assert compiled._compiled is not None
    assert plain._compiled is None
    drive = np.random.default_rng(0).uniform(0.0, 0.2, (9, 5))
    for twin in (compiled, plain):
        twin.cells.conductance = cells(5, 4)
    assert np.array_equal(compiled.read_mvm(drive), plain.read_mvm(drive))
    assert np.array_equal(compiled.read_conductances(averages=3), plain.read_conductances(averages=3))


def quiet(wires: Wires, rows: int, cols: int, sd: float = 0.0) -> DigitalTwin:
    """An ideal twin with white noise of one standard deviation, S, in every cell."""
    noise = ReadNoise(reference=50e-6, sd_median=sd, sd_spread=0.0, exponent=0.0)
    ideal = TwinProfile.load("ideal").model_copy(update={"wires": wires, "read_noise": noise})
    return DigitalTwin(ideal, (rows, cols), 0)


@pytest.mark.parametrize("selection", ["float", "V/2", "V/3"])
def test_a_passive_twin_reads_through_its_neighbours(selection: str) -> None:
    """Single cells by the dense solution, also after a cell has moved; products as with any selection."""
    wires = Wires(r_word=5.0, r_bit=(9.0, 2.0, 0.0, 30.0), selector="none", drive="both", selection=selection)
    twin = quiet(wires, 5, 4)
    assert twin._compiled is None
    on, off = np.ones(5, dtype=bool), np.zeros(4, dtype=bool)
    for change in range(2):
        twin.cells.conductance = cells(5, 4) * (1 + change * np.eye(5, 4))
        dense = Crossbar(twin.cells.conductance, np.full(5, 5.0), np.array(wires.r_bit), on, on, ~off, off)
        case = Topology(twin.cells.conductance, wires, np.zeros(5), np.zeros(4), dense)
        assert twin.read_conductances() == pytest.approx(case.reads(twin.cells.conductance), rel=1e-11)
        assert twin.read_mvm(np.full(5, 0.1)) == pytest.approx(0.1 * case.matrix.sum(axis=0), rel=1e-11)


@pytest.mark.parametrize("selection", ["float", "V/2"])
def test_noise_of_passive_reads_comes_from_all_cells_on_the_way(selection: str) -> None:
    """Standard deviation of 4,000 reads against differences of the dense solution, cell by cell: within 6 %."""
    wires = Wires(r_word=5.0, r_bit=9.0, selector="none", selection=selection)
    twin, g, step = quiet(wires, 3, 3, sd=1e-7), cells(3, 3), 1e-9
    twin.cells.conductance = g
    on, off, ohm = np.ones(3, dtype=bool), np.zeros(3, dtype=bool), np.ones(3)
    case = Topology(g, wires, ohm, ohm, Crossbar(g, 5 * ohm, 9 * ohm, on, off, on, off))
    slopes = []
    for row, col in np.ndindex(3, 3):
        moved = g.copy()
        moved[row, col] += step
        slopes.append((case.reads(moved) - case.reads(g)) / step)
    exact = 1e-7 * np.sqrt((np.array(slopes) ** 2).sum(axis=0))
    reads = np.array([twin.read_conductances(averages=1) for _ in range(4000)])
    assert reads.std(axis=0) / exact == pytest.approx(1.0, abs=0.06)
    own = 1e-7 * np.abs(np.array(slopes).reshape(3, 3, 3, 3)[np.arange(3), np.arange(3)][:, np.arange(3)])
    assert (exact > 1.1 * own.min()).all()  # null control: a cell alone would be quieter


def test_kept_cells_with_two_ends_are_computed_again() -> None:
    """What follows of such an array is nothing, and given back it changes nothing."""
    g, wired, other = cells(5, 4), WiredCells(HARD), WiredCells(HARD)
    wired.view(g)
    other.followed = wired.followed
    g[2, 2] *= 2
    assert np.array_equal(wired.view(g).matrix, effective_matrix(g, HARD))
    assert np.array_equal(other.view(g).matrix, effective_matrix(g, HARD))


# ---- what cannot be


def test_a_profile_file_can_say_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "ends.toml"
    path.write_text(
        'extends = "ideal"\n[wires]\nr_word = [1.0, 2.0]\nr_bit = 3.0\ndrive = "both"\nsense = "top"\n'
        'selector = "none"\nselection = "V/3"\nopen_bit = [-1]\n',
        encoding="utf-8",
    )
    loaded = TwinProfile.load(path)
    assert loaded.wires == Wires(
        r_word=(1.0, 2.0), r_bit=3.0, drive="both", sense="top", selector="none", selection="V/3", open_bit=(-1,)
    )
    assert TwinProfile.model_validate_json(loaded.model_dump_json()) == loaded


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r_word": (1.0, 2.0)}, "r_word has 2 resistances, but the array has 3 word lines"),
        ({"r_bit": (1.0,) * 3}, "r_bit has 3 resistances, but the array has 2 bit lines"),
        ({"open_word": (3,)}, "word lines of this array are 0 to 2"),
        ({"open_bit": (0, -2)}, "at most once"),
        ({"open_bit": (0, 1)}, "none of the 2 bit lines connected"),
    ],
)
def test_lines_that_the_array_does_not_have(changes: dict, words: str) -> None:
    wires = Wires(**{"r_word": 1.0, "r_bit": 1.0, **changes})
    for ask in (
        lambda: DigitalTwin(TwinProfile.load("ideal").model_copy(update={"wires": wires}), (3, 2)),
        lambda: effective_matrix(cells(3, 2), wires),
        lambda: solve(cells(3, 2), wires, np.ones((1, 3))),
    ):
        with pytest.raises(ConfigError, match=words):
            ask()


@pytest.mark.parametrize(
    "bad",
    [{"r_word": (1.0, -1.0)}, {"drive": "bottom"}, {"sense": "left"}, {"selection": "V/2"}, {"selection": "V/4"}],
)
def test_wires_that_cannot_be(bad: dict) -> None:
    with pytest.raises(ValidationError):
        Wires(**{"r_word": 1.0, "r_bit": 1.0, **bad})


def test_a_selection_beside_nonlinear_cells_is_refused() -> None:
    wires = Wires(r_word=1.0, r_bit=1.0, selector="none", selection="V/2")
    nonlinear = Nonlinearity(cubic=1.0, reference=50e-6)
    parts = TwinProfile.load("ideal").model_dump() | {"wires": wires, "nonlinearity": nonlinear}
    with pytest.raises(ValidationError, match="linear cells only"):
        TwinProfile.model_validate(parts)
    assert TwinProfile.model_validate(parts | {"wires": None}).nonlinearity == nonlinear


def test_bias_that_does_not_fit() -> None:
    wires = Wires(r_word=1.0, r_bit=1.0)
    for bias in (np.ones((1, 3)), np.full((1, 2), np.nan)):
        with pytest.raises(LimitError, match="bias"):
            solve(cells(3, 2), wires, np.ones((1, 3)), bias)
