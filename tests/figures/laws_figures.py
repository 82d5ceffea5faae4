"""Figures of the twin's laws by themselves: of noise, pulses, relaxation, converters and wires, on small grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from imssa_lab.contract.hal import FloatArray
from tests.figures.chips_figures import ADC, BY_LEVEL, CREEP, DRIFTS, FALLING, FLICKER, JUMPS, QUIET, RELAXES, TABLE
from twin.device_spread import DeviceSpread
from twin.fluctuators import Fluctuators
from twin.jumping_cells import Stride, log_room
from twin.measured_pulses import PulseTable
from twin.noise import Electronic, Flicker, time_constants, unresolved, variances
from twin.periphery.columns import ReadRate, Sag
from twin.periphery.converter import Adc, adc_ranges, bow_and_bend, codes_of
from twin.periphery.inputs import Inputs, pulse_trains, weighted_sum
from twin.periphery.pulse_sums import PulseSums
from twin.programming_law import ProgrammingError
from twin.pulse_response import Overdrive, ResetResponse, SetResponse
from twin.pulsing.half_selected import CreepTime, HalfSelected, crept
from twin.pulsing.wear import Endurance
from twin.relaxation import LogTimeRelaxation, PowerLawDrift, displacement, divisible, fallen, normal_scores
from twin.thermal.temperature import Temperature, Warmth
from twin.wires.line_ends import Lines
from twin.wires.nodal import CubicCells, solve
from twin.wires.wire_resistance import Wires, cell_paths, effective_matrix, sensitivity

SIEMENS = np.geomspace(0.5e-6, 200e-6, 7)
VOLTS = np.linspace(0.2, 2.2, 6)
SCORES = np.linspace(-3.0, 3.0, 7)
AGES = np.array([0.0, 1e-3, 0.5, 20.0, 1e4, 1e7])


def noise() -> Iterator[tuple[str, object]]:
    for name, law in (
        ("flicker", Flicker(**FLICKER)),
        ("steep", Flicker(**FLICKER | {"slope": 1.4})),
        ("flat", Flicker(**FLICKER | {"slope": 0.7, "resolved": 5.0, "slowest": 7.0})),
        ("log", Flicker(**FLICKER | {"exponent": None, "vanishes_at": 2e-6})),
    ):
        yield name, [time_constants(law), variances(law), unresolved(law), law.growth(SIEMENS, 50e-6)]
    electronic = Electronic(temperature=310.0, bandwidth=2e6)
    yield "electronic", [electronic.variance(SIEMENS, volts) * 1e20 for volts in (0.0, -0.2, 1.0)]


def fluctuations() -> Iterator[tuple[str, object]]:
    rates = np.concatenate([np.full(6, 0.2), np.full(6, 5.0), np.geomspace(0.01, 50.0, 8)])
    occupancy = np.concatenate([np.full(12, np.nan), np.linspace(0.1, 0.9, 8)])
    made = Fluctuators(rates, occupancy, np.random.default_rng(3))
    yield (
        "begin",
        [made.long_gap, made.level.copy(), made.is_quick(np.array([0.1, 0.2])), made.is_quick(np.array([50.0]))],
    )
    for times in (np.array([0.01]), np.linspace(0.02, 0.6, 30), np.array([0.61, 0.9])):
        changes = made.follow(times)
        yield f"until {times[-1]}", [changes, made.level.copy(), made.next]
    for now in (1.0, 40.0, 40.01):
        yield f"at {now}", [made.advance(now), made.level.copy()]


def devices() -> Iterator[tuple[str, object]]:
    for skew, tail in ((0.0, 1.0), (0.0, 0.7), (0.8, 1.0), (-0.5, 1.6)):
        yield f"skew {skew} tail {tail}", DeviceSpread(skew=skew, tail=tail).marginal(SCORES)


def pulses() -> Iterator[tuple[str, object]]:
    given, taken = SetResponse(**QUIET["set"] | {"cycle_spread": 0.1}), ResetResponse(**QUIET["reset"])
    threshold, slope = np.full(6, 0.6), np.full(6, 300e-6)
    scatter = np.linspace(-1.0, 1.0, 6)
    yield "set", [given.reached(VOLTS, np.full(6, gate), threshold, slope, scatter) for gate in (0.3, 0.9, 1.6)]
    ceiling = given.model_copy(update={"ceiling": 100e-6})
    yield "ceiling", ceiling.reached(VOLTS, np.full(6, 1.0), threshold, slope, scatter)
    spread = taken.model_copy(update={"cycle_spread": 0.1})
    yield "reset", [spread.left(VOLTS, width, np.full(6, 0.05), scatter) for width in (1e-6, 1e-5, 1e-3)]
    yield "works", [taken.works(np.array([0.44, 0.45, 0.46]), np.full(3, gate)) for gate in (2.9, 3.0)]
    yield "overdrive", Overdrive(voltage=1.5, probability=0.01, v_per_decade=0.3, conductance=1e-6).chance(VOLTS)
    for name, tables in (("rising", TABLE), ("falling", FALLING)):
        table = PulseTable.model_validate(tables)
        yield name, [table.moved(SIEMENS[:6], SIEMENS[1:], slowness=np.full(6, score)) for score in (-2.5, 0.3)]
        yield (
            f"{name} leaves",
            [table.leaves(VOLTS, scatter, np.full(6, 0.8), scatter[::-1], felt) for felt in (-1.0, 2.0)],
        )
    wear = Endurance(cycles=50.0, voltage=1.2, v_per_decade=0.4, middle=30e-6, spread=0.5, steepness=1.5)
    yield "wear", [wear.added(VOLTS, scatter), wear.closed(np.geomspace(0.01, 20.0, 6))]
    yield (
        "narrowed",
        [wear.narrowed(SIEMENS[:6], np.geomspace(0.01, 20.0, 6), rises=rises) for rises in (True, False)],
    )
    creep = CreepTime(**CREEP)
    yield (
        "creep",
        [creep.rate(VOLTS, scatter), crept(SIEMENS[:6], SIEMENS[1:], np.geomspace(0.01, 9.0, 6), rises=True)],
    )
    yield "creep down", crept(SIEMENS[1:], SIEMENS[:6], np.geomspace(0.01, 9.0, 6), rises=False)
    around = HalfSelected(same_word=0.5, same_bit=0.3, neither=-0.2, set=creep).around(4, (3, 3))
    yield "around", [around.cells, around.shares]


def ages() -> Iterator[tuple[str, object]]:
    plain, bound = RELAXES, RELAXES | {"correlation": (0.5, 0.7), "knee": 0.6, "until": 1e6}
    start, z = np.full(6, 45e-6), np.linspace(-2.0, 2.0, 6)
    for name, tables in (("free", plain), ("bound", bound), ("jumping", plain | JUMPS | {"reach": (1.0, 0.5)})):
        law = LogTimeRelaxation.model_validate(tables)
        c = law.coefficients(start)
        yield f"{name} law", [law.valid_until, law.log_time(AGES), law.decorrelation(AGES), c]
        yield f"{name} cells", [law.conductance(start, c, score * np.ones(6), AGES) for score in (-1.0, 0.0, 2.0)]
        if law.jumps is not None:
            yield "rates", [law.rates(SIEMENS[:6], law.log_time(AGES)), law.reach_at(law.log_time(AGES))]
            s = law.log_time(np.full(6, 0.05)), law.log_time(np.full(6, 3e3))
            before, after = (divisible(law.at(c, one)) for one in s)
            yield "room", log_room(z, before, after)
            for memory, reach in ((0.0, None), (0.5, np.array([0.0, 0.5, 1.0, 1.0, 2.0, 0.0]))):
                stride = Stride(np.linspace(0.0, 2.0, 6), np.full(6, 0.2e-6), memory, reach)
                yield f"stride {memory}", stride.moved(z, before, after, np.random.default_rng(4))
            places = np.linspace(-8e-6, 8e-6, 6)
            yield "scores", [normal_scores(places, after), normal_scores(places, before, z)]
    moves = np.linspace(-20e-6, 5e-6, 7)
    for knee in (0.3, 0.6, 1.0):
        left = fallen(SIEMENS, moves, knee)
        yield f"knee {knee}", [left, displacement(SIEMENS, left, knee)]
    drift = PowerLawDrift.model_validate(DRIFTS)
    yield "drift", drift.conductance(SIEMENS[:6], drift.coefficients(SIEMENS[:6]), z, AGES)
    warm = Warmth(Temperature(reference=300.0, chip=350.0, relaxation_ev=0.7, conduction_ev=0.08, metallic=30e-6))
    yield "warm", [warm.aged(AGES), warm.conducting(SIEMENS)]
    warm.turn(280.0, 20.0)
    yield "cold", [warm.aged(AGES[3:]), warm.conducting(SIEMENS)]


def programming() -> Iterator[tuple[str, object]]:
    targets = np.linspace(2e-6, 140e-6, 6)
    for name, law in {
        "normal": {"law": "normal", "g_max": 150e-6, "sd": (1e-6, 3e-6, -2e-6)},
        "uniform": {"law": "uniform", "g_max": 150e-6, "sd": (1e-6, 3e-6), "tilt": 0.6},
        "by level": BY_LEVEL,
        "without tails": {key: BY_LEVEL[key] for key in ("law", "levels", "shift", "core")},
        "exact": {"law": "exact"},
    }.items():
        made = ProgrammingError.model_validate(law)
        yield name, [made.sd_at(targets), made.mean_at(targets), made.draw(targets, np.random.default_rng(2))]
        yield f"{name} quantiles", made.quantiles(targets[:, None], SCORES)


def converters() -> Iterator[tuple[str, object]]:
    share = np.linspace(-1.3, 1.3, 12)
    yield "bends", bow_and_bend(share)
    gaps = {"missing": ((0.2, 8), (0.7, 2), (1.0, 5))}
    for name, tables in (("whole", ADC), ("gaps", ADC | gaps), ("positive", ADC | gaps | {"signed": False})):
        adc = Adc.model_validate(tables)
        yield name, [adc.top, adc_ranges(adc), codes_of(share, adc)]
        for bits in (3, 5):
            yield f"{name} sums {bits}", PulseSums.of(adc, Inputs(coding="bit-serial", bits=bits, full_scale=0.2))
    volts = np.linspace(-0.2, 0.2, 6)[None]
    for coding, bits, signed in (
        ("analog", 4, True),
        ("analog", 4, False),
        ("bit-serial", 3, True),
        ("unary", 2, True),
    ):
        inputs = Inputs.model_validate({"coding": coding, "bits": bits, "full_scale": 0.2, "signed": signed})
        driven = pulse_trains(np.abs(volts) if not signed else volts, inputs)
        yield f"{coding} {signed}", [inputs.pulse_counts, inputs.step, inputs.pulse_step, driven]
        yield f"{coding} {signed} sum", weighted_sum(driven, inputs)
    sag = Sag(ReadRate(drain=0.1, recovery=2e-3))
    yield "sag", [sag.left(0.0, 5, 1e-3, 5e-3), sag.lost_at(6e-3), sag.healed(1e-3), sag.left(8e-3, 3, 1e-4, 9e-3)]


def wires() -> Iterator[tuple[str, object]]:
    rng = np.random.default_rng(6)
    cells: FloatArray = rng.uniform(1e-6, 2e-4, (5, 4))
    cells[2, 1] = cells[0] = 0.0  # open cells; one word line leads nowhere
    drive, bias = rng.uniform(-0.2, 0.2, (2, 5)), rng.uniform(-0.02, 0.02, (2, 4))
    for name, made in {
        "one end": Wires(r_word=5.0, r_bit=3.0, r_in=20.0, r_out=10.0, r_access=1e3),
        "both ends": Wires(r_word=5.0, r_bit=3.0, r_in=20.0, drive="both", sense="both"),
        "far ends": Wires(r_word=(1.0, 2.0, 3.0, 4.0, 5.0), r_bit=3.0, drive="right", sense="top", open_bit=(1,)),
        "opened": Wires(r_word=5.0, r_bit=(3.0, 2.0, 1.0, 4.0), open_word=(-1, 0)),
    }.items():
        yield f"{name} matrix", effective_matrix(cells, made)
        yield f"{name} paths", [cell_paths((5, 4), made), sensitivity(cells, made)]
        solved = solve(CubicCells(cells, np.full((5, 4), 5.0)), made, drive, bias)
        yield f"{name} currents", [solved.current, solved.word_current, solved.bit_current, solved.far_current]
        yield f"{name} voltages", [solved.word_voltage, solved.bit_voltage, solved.supplied, solved.dissipated]
    lines = Lines(np.array([1.0, 0.0, 2.0]), np.array([3.0, 4.0, np.inf]), np.array([np.inf, 4.0, 5.0]))
    for name, one in (("lines", lines), ("flipped", lines.flipped()), ("reversed", lines.reversed())):
        yield name, [one.paths(3), one.far_shares(3), one.held, one.joined()]


def _of(make: Callable[[], Iterator[tuple[str, object]]]) -> Callable[[], object]:
    return lambda: dict(make())


CASES: dict[str, Callable[[], object]] = {
    make.__name__: _of(make) for make in (noise, fluctuations, devices, pulses, ages, programming, converters, wires)
}
