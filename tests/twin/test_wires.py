"""Wires against golden currents, closed formulas and the laws of circuits; the fast path against the full solve."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.optimize import brentq, fsolve

from imssa_lab.contract.errors import ImssaError, LimitError, NotConverged
from trials.irdrop import IrDropCase, irdrop_cases
from twin.wires.nodal import CubicCells, LinearCells, solve
from twin.wires.wire_resistance import WiredView, Wires, effective_matrix, sensitivity, turned

CASES = irdrop_cases()

resistance = st.one_of(st.just(0.0), st.floats(1e-3, 200.0))
wires_of_any_kind = st.builds(
    Wires, r_word=resistance, r_bit=resistance, r_in=resistance, r_out=resistance, r_access=resistance
)


@st.composite
def circuits(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Conductances (rows, cols) in S with some cells open, and two drive vectors in V."""
    rows, cols = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    cell = st.one_of(st.just(0.0), st.floats(1e-6, 1e-3))
    voltage = st.floats(-0.2, 0.2).map(lambda v: round(v, 6))
    return draw(arrays(float, (rows, cols), elements=cell)), draw(arrays(float, (2, rows), elements=voltage))


def full_scale(conductance: np.ndarray, drive: np.ndarray) -> float:
    return max(float((np.abs(drive) @ conductance).max()), 1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden_currents_on_both_paths(case: IrDropCase) -> None:
    fast = case.drive @ effective_matrix(case.conductance, case.wires)
    assert case.error(fast) < 1e-11  # the reference's own rounding
    assert case.error(solve(case.conductance, case.wires, case.drive[None]).current[0]) < 1e-11


def test_null_control_exchanged_wires_miss_the_golden_currents() -> None:
    """Exchanged r_word and r_bit on 128 x 64 and 8 x 8, exchanged r_in and r_out on 16 x 16."""
    caught = 0
    for case in CASES:
        other = turned(case.wires)
        if other != case.wires and case.conductance.size > 1:  # one cell has them all in series
            caught += 1
            assert case.error(case.drive @ effective_matrix(case.conductance, other)) > 1e-4
            if len(case.drive) < 100:
                assert case.error(solve(case.conductance, other, case.drive[None]).current[0]) > 1e-4
    assert len(CASES) == 9
    assert caught == 3 + 1


@pytest.mark.parametrize(("rows", "cols"), [(6, 3), (3, 6)])
def test_null_control_exchanged_wires_on_an_array_that_is_not_square(rows: int, cols: int) -> None:
    conductance = np.random.default_rng(0).uniform(2e-6, 150e-6, (rows, cols))
    right, exchanged = Wires(r_word=1.0, r_bit=3.0), Wires(r_word=3.0, r_bit=1.0)
    truth = solve(conductance, right, np.eye(rows)).current
    assert np.abs(effective_matrix(conductance, right) - truth).max() < 1e-12 * truth.max()
    assert np.abs(effective_matrix(conductance, exchanged) - truth).max() > 1e-5 * truth.max()


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [(32, 0.962813, 0.918459), (64, 0.875718, 0.740063), (128, 0.661934, 0.411157), (256, 0.381590, 0.138181)],
)
def test_uniform_array(size: int, first: float, last: float) -> None:
    """100 uS everywhere, 1 Ohm a segment, all word lines at the same voltage: currents relative to no wires."""
    share = effective_matrix(np.full((size, size), 100e-6), Wires(r_word=1, r_bit=1)).sum(axis=0) / (size * 100e-6)
    assert share[[0, -1]] == pytest.approx([first, last], abs=6e-7)
    assert size * 100e-6 * share.max() < 1.0  # never more than one segment of a bit line can carry


@settings(max_examples=60, deadline=None)
@given(circuits(), wires_of_any_kind)
def test_fast_path_is_the_full_solve(circuit: tuple[np.ndarray, np.ndarray], wires: Wires) -> None:
    conductance, drive = circuit
    slow = solve(conductance, wires, drive)
    fast = drive @ effective_matrix(conductance, wires)
    assert np.abs(fast - slow.current).max() <= 1e-11 * full_scale(conductance, drive)
    assert slow.residual.max() <= 1e-12


@settings(max_examples=40, deadline=None)
@given(circuits(), wires_of_any_kind)
def test_power_balance_and_kirchhoff(circuit: tuple[np.ndarray, np.ndarray], wires: Wires) -> None:
    """What the drivers put in, the wires and cells burn; Ohm's law holds in every segment between node voltages."""
    conductance, drive = circuit
    got = solve(conductance, wires, drive)
    assert np.abs(got.supplied - got.dissipated).max() <= 1e-10 * max(got.dissipated.max(), 1e-15)
    branch = got.word_voltage - got.bit_voltage - wires.r_access * got.cell_current
    assert branch * conductance == pytest.approx(got.cell_current, abs=1e-11 * full_scale(conductance, drive))
    along = -np.diff(got.word_voltage, axis=2)
    down = -np.diff(got.bit_voltage, axis=1)
    assert along == pytest.approx(wires.r_word * got.word_current[:, :, 1:], abs=1e-15)
    assert down == pytest.approx(wires.r_bit * got.bit_current[:, :-1], abs=1e-15)


def test_null_control_power_balance_sees_a_wrong_state() -> None:
    conductance = np.random.default_rng(0).uniform(2e-6, 150e-6, (6, 4))
    got = solve(conductance, Wires(r_word=5, r_bit=5), np.full((1, 6), 0.2))
    wrong = replace(got, cell_current=got.cell_current * 1.001)
    assert np.abs(wrong.supplied / wrong.dissipated - 1).max() > 1e-8


@settings(max_examples=30, deadline=None)
@given(circuits(), wires_of_any_kind, st.floats(-2, 2), st.floats(-2, 2))
@example(
    (np.array([[3.1e-4, 4.3e-4]]), np.array([[0.0], [0.11]])),
    Wires(r_word=54.0, r_bit=0.0, r_in=0.0, r_out=0.0, r_access=0.0),
    0.0,
    2.2e-311,  # too small to have twelve digits
)
def test_linearity(circuit: tuple[np.ndarray, np.ndarray], wires: Wires, a: float, b: float) -> None:
    conductance, drive = circuit
    mixed = solve(conductance, wires, (a * drive[0] + b * drive[1])[None]).current[0]
    apart = np.array([a, b]) @ solve(conductance, wires, drive).current
    assert np.abs(mixed - apart).max() <= 1e-11 * full_scale(conductance, drive)


@settings(max_examples=30, deadline=None)
@given(circuits(), wires_of_any_kind)
def test_reciprocity(circuit: tuple[np.ndarray, np.ndarray], wires: Wires) -> None:
    """Drive the bit-line ends and sense the word-line ends: the transposed matrix, by either path."""
    conductance, _ = circuit
    rows, cols = conductance.shape
    straight = solve(conductance, wires, np.eye(rows)).current
    turned_cells = conductance.T[::-1, ::-1]
    for back in (
        solve(turned_cells, turned(wires), np.eye(cols)).current,
        effective_matrix(turned_cells, turned(wires)),
    ):
        assert np.abs(back[::-1, ::-1].T - straight).max() <= 1e-10 * max(float(conductance.max()), 1e-12)


@settings(max_examples=30, deadline=None)
@given(circuits())
def test_without_wires_it_is_the_product_and_small_wires_come_near(circuit: tuple[np.ndarray, np.ndarray]) -> None:
    conductance, drive = circuit
    scale, none = full_scale(conductance, drive), Wires(r_word=0, r_bit=0)
    assert np.abs(effective_matrix(conductance, none) - conductance).max() <= 1e-16 * max(conductance.max(), 1e-6)
    assert np.abs(solve(conductance, none, drive).current - drive @ conductance).max() <= 1e-14 * scale
    for small in (1e-3, 1e-6, 1e-9):
        wires = Wires(r_word=small, r_bit=small)
        for got in (drive @ effective_matrix(conductance, wires), solve(conductance, wires, drive).current):
            # At most 7 cells of 1 mS on a line of at most 7 segments, twice.
            assert np.abs(got - drive @ conductance).max() <= (100 * small * 1e-3 + 1e-13) * scale


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e-3), wires_of_any_kind)
def test_one_cell(conductance: float, w: Wires) -> None:
    exact = 1 / (1 / conductance + w.r_word + w.r_bit + w.r_in + w.r_out + w.r_access)
    cell = np.array([[conductance]])
    assert effective_matrix(cell, w)[0, 0] == pytest.approx(exact, rel=1e-13)
    assert solve(cell, w, np.array([[0.2]])).current[0, 0] == pytest.approx(0.2 * exact, rel=1e-12)
    assert WiredView.of(cell, w).cells[0, 0] == pytest.approx(exact, rel=1e-13)
    assert WiredView.of(cell, w).cell_share[0, 0] == pytest.approx((exact / conductance) ** 2, rel=1e-12)


@pytest.mark.parametrize("conductance", [1e-3, 1.0, 1e6, 1e12])
def test_one_word_line_is_a_ladder(conductance: float) -> None:
    """Series r_word, shunt s = 1/G + r_bit + r_out without end: R = (r_word + sqrt(r_word^2 + 4 r_word s)) / 2."""
    wires = Wires(r_word=30.0, r_bit=2.0, r_out=8.0, r_in=5.0)
    shunt = 1 / conductance + 10.0
    exact = 1 / (5.0 + (30.0 + np.sqrt(30.0**2 + 4 * 30.0 * shunt)) / 2)
    line = np.full((1, 200), conductance)
    assert effective_matrix(line, wires).sum() == pytest.approx(exact, rel=1e-11)
    if conductance <= 1e6:  # beyond, the voltage across a cell drowns in rounding and the full solve says so
        assert solve(line, wires, np.ones((1, 1))).current.sum() == pytest.approx(exact, rel=1e-9)
    column = effective_matrix(np.full((200, 1), conductance), turned(wires))
    assert column.sum() == pytest.approx(exact, rel=1e-11)


def test_zero_wires_are_the_limit_of_small_ones() -> None:
    """Every combination of absent resistances, against the same with 1e-7 Ohm in their place."""
    conductance = np.random.default_rng(1).uniform(2e-6, 150e-6, (5, 4))
    names = ("r_word", "r_bit", "r_in", "r_out")
    for pick in np.ndindex(2, 2, 2, 2):
        there = {name: 20.0 * on for name, on in zip(names, pick, strict=True)}
        exact, near = Wires(**there), Wires(**{name: value or 1e-7 for name, value in there.items()})
        for wires in (exact, near):
            assert effective_matrix(conductance, wires) == pytest.approx(
                solve(conductance, exact, np.eye(5)).current, rel=1e-8
            )


def test_open_cells_and_dead_lines_pass_no_current() -> None:
    conductance = np.random.default_rng(2).uniform(2e-6, 150e-6, (5, 4))
    conductance[2], conductance[:, 1] = 0.0, 0.0
    got = effective_matrix(conductance, Wires(r_word=1, r_bit=2))
    assert not got[2].any()
    assert not got[:, 1].any()
    assert not effective_matrix(np.zeros((3, 3)), Wires(r_word=1, r_bit=1)).any()


# ---- cells with a law of their own


def test_one_cubic_cell() -> None:
    wires = Wires(r_word=100, r_bit=50, r_in=30, r_out=20, r_access=1000)
    law = CubicCells(np.array([[1e-3]]), 20.0)
    root = brentq(lambda v: v + 1200 * 1e-3 * v * (1 + 20 * v**2) - 0.5, 0, 0.5, xtol=1e-15)
    got = solve(law, wires, np.array([[0.5]]))
    assert got.cell_voltage[0, 0, 0] == pytest.approx(root, rel=1e-11)
    assert got.current[0, 0] == pytest.approx(1e-3 * root * (1 + 20 * root**2), rel=1e-11)


def test_cubic_cells_against_a_general_root_finder() -> None:
    """Node voltages of a 3 x 2 array by scipy's hybrid Powell method on Kirchhoff's current law."""
    rng = np.random.default_rng(3)
    conductance, drive = rng.uniform(1e-4, 1e-3, (3, 2)), rng.uniform(-0.5, 0.5, 3)
    law, wires = CubicCells(conductance, rng.uniform(0, 10, (3, 2))), Wires(r_word=40, r_bit=60, r_in=10, r_out=25)

    def leak(nodes: np.ndarray) -> np.ndarray:
        word, bit = nodes.reshape(2, 3, 2)
        cell = law.current(word - bit)
        enter = np.stack([(drive - word[:, 0]) / 50, (word[:, 0] - word[:, 1]) / 40], axis=1)
        leave = np.stack([(bit[0] - bit[1]) / 60, (bit[1] - bit[2]) / 60, bit[2] / 85])
        onward = np.stack([enter[:, 1], np.zeros(3)], axis=1)
        above = np.vstack([np.zeros(2), leave[:-1]])
        return 1e3 * np.concatenate([(enter - onward - cell).ravel(), (above + cell - leave).ravel()])

    nodes = fsolve(leak, np.zeros(12), xtol=1e-13).reshape(2, 3, 2)
    got = solve(law, wires, drive[None])
    assert got.word_voltage[0] == pytest.approx(nodes[0], abs=1e-10)
    assert got.bit_voltage[0] == pytest.approx(nodes[1], abs=1e-10)
    assert got.supplied == pytest.approx(got.dissipated, rel=1e-10)


def test_strong_laws_converge_where_the_first_linearisation_is_useless() -> None:
    """Currents that grow as sinh(V / 30 mV) at 0.5 V: slopes rise 1e6-fold; and b = 0 is the linear array."""

    class Sinh:
        shape = (8, 6)

        def current(self, voltage: np.ndarray) -> np.ndarray:
            return 1e-6 * np.sinh(np.clip(voltage, -2, 2) / 0.03)

        def slope(self, voltage: np.ndarray) -> np.ndarray:
            return 1e-6 / 0.03 * np.cosh(np.clip(voltage, -2, 2) / 0.03)

    wires, drive = Wires(r_word=10, r_bit=20), np.random.default_rng(0).uniform(-0.5, 0.5, (3, 8))
    got = solve(Sinh(), wires, drive)
    assert got.residual.max() <= 1e-12
    assert got.supplied == pytest.approx(got.dissipated, rel=1e-10)
    conductance = np.random.default_rng(1).uniform(2e-6, 150e-6, (8, 6))
    plain, cubic = solve(conductance, wires, drive), solve(CubicCells(conductance, 0.0), wires, drive)
    assert np.array_equal(plain.current, cubic.current)
    assert np.abs(solve(CubicCells(conductance, 5.0), wires, drive).current / plain.current - 1).max() > 0.1


def test_the_fast_path_refuses_a_law_and_a_bad_law_is_named() -> None:
    class Jump:
        shape = (1, 1)

        def current(self, voltage: np.ndarray) -> np.ndarray:
            return 1e-3 * np.where(voltage > 0.15, 1.0, 0.0)

        def slope(self, voltage: np.ndarray) -> np.ndarray:
            return np.full(voltage.shape, 1e-3)

    wires = Wires(r_word=100, r_bit=100)
    with pytest.raises(ImssaError, match=r"twin\.wires\.nodal\.solve"):
        effective_matrix(CubicCells(np.ones((2, 2)), 1.0), wires)
    with pytest.raises(NotConverged, match=r"vector 1 stopped at a residual of"):
        solve(Jump(), wires, np.array([[0.1], [0.2]]))
    with pytest.raises(LimitError, match="slope"):
        solve(CubicCells(np.full((2, 2), -1e-6), 0.0), wires, np.full((1, 2), 0.2))


def test_the_slope_of_the_cubic_law_is_its_derivative() -> None:
    law, at, step = CubicCells(np.array([[1e-4, 2e-4]]), np.array([[2.0, 30.0]])), np.array([[[0.3, -0.2]]]), 1e-6
    assert law.slope(at) == pytest.approx((law.current(at + step) - law.current(at - step)) / (2 * step), rel=1e-8)


# ---- what cannot be


@pytest.mark.parametrize("bad", [{"r_word": -1.0}, {"r_bit": np.inf}, {"r_in": np.nan}, {"r_wrd": 1.0}])
def test_resistances_that_cannot_be(bad: dict) -> None:
    with pytest.raises(ValidationError):
        Wires(**{"r_word": 1.0, "r_bit": 1.0, **bad})


def test_a_passive_array_has_no_transistor() -> None:
    with pytest.raises(ValidationError, match="r_access"):
        Wires(r_word=1, r_bit=1, r_access=100, selector="none")


@pytest.mark.parametrize("bad", [-1e-6, np.nan, np.inf])
def test_conductances_that_cannot_be(bad: float) -> None:
    conductance, wires = np.full((3, 2), 1e-6), Wires(r_word=1, r_bit=1)
    conductance[1, 1] = bad
    for ask in (lambda: effective_matrix(conductance, wires), lambda: solve(conductance, wires, np.ones((1, 3)))):
        with pytest.raises(LimitError, match="word line 1, bit line 1"):
            ask()


def test_drives_and_shapes_that_do_not_fit() -> None:
    wires = Wires(r_word=1, r_bit=1)
    for drive in (np.ones((1, 2)), np.ones(3), np.full((1, 3), np.nan)):
        with pytest.raises(LimitError, match="drive"):
            solve(LinearCells(np.ones((3, 2))), wires, drive)
    with pytest.raises(LimitError, match="shape"):
        effective_matrix(np.ones(3), wires)


def test_a_line_that_lets_nothing_through_is_named() -> None:
    """50 S in the place of 50 uS: beyond what the closed form can hold, and never silently zero or NaN."""
    with pytest.raises(LimitError, match="lets no current through"):
        effective_matrix(np.full((300, 300), 50.0), Wires(r_word=1000, r_bit=1))


def test_lines_of_more_and_more_cells_are_finite_until_one_is_named() -> None:
    """Seen from its far end a line leaves the range of numbers a few cells before it does from its near end."""
    wires, named = Wires(r_word=1e-3, r_bit=0.0), []
    for cols in range(170, 190):
        try:
            assert np.isfinite(sensitivity(np.full((1, cols), 5e4), wires)).all()
        except LimitError:
            named.append(cols)
    assert 170 < named[0]
    assert named == list(range(named[0], 190))
