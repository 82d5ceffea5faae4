"""Counts of an inference against an array that counts what its word lines see; energy against sums by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import Packing, arrays_needed, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.cost import MultiplyAdds, cost, multiply_adds
from imssa_lab.s4d.dense_layer import Layers
from imssa_lab.s4d.inference import run_network
from protocols.cost.energy_figures import EnergyTable, network_energy, reads_energy
from protocols.cost.inference_counts import inference_counts
from protocols.cost.predicted_cost import predicted_cost
from protocols.cost.read_counts import ReadCounts, line_drives, products_counted
from protocols.cost.reads_counted import ReadsCounted
from protocols.dense_runner import DenseRunner
from protocols.recurrence import KernelRunner
from tests.docs.code_blocks import blocks
from trials.counting_twin import CountingTwin
from trials.untrained import untrained_bundle
from twin import DigitalTwin, TwinProfile
from twin.periphery.inputs import Inputs

SHAPE = (24, 32)
CODINGS = {
    "analog, both signs": Inputs(full_scale=0.2),
    "analog, 6 bits": Inputs(bits=6, full_scale=0.2),
    "analog, 6 bits, one sign": Inputs(bits=6, full_scale=0.2, signed=False),
    "bit-serial": Inputs(coding="bit-serial", bits=8, full_scale=0.2, signed=False),
    "bit-serial, both signs": Inputs(coding="bit-serial", bits=5, full_scale=0.2),
    "unary": Inputs(coding="unary", bits=4, full_scale=0.2, signed=False),
}


def profile(inputs: Inputs) -> TwinProfile:
    ideal = TwinProfile.load("ideal")
    return ideal.model_copy(update={"inputs": inputs})


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("packing", "averages", "layers"),
    [("time", 1, "kernels"), ("time", 3, "kernels"), ("area", 1, "kernels"), ("time", 2, "all")],
)
def test_counts_are_those_of_an_array_that_counts(
    bundle: KernelBundle, sequences: FloatArray, coding: str, packing: Packing, averages: int, layers: Layers
) -> None:
    kind, bundle = profile(CODINGS[coding]), replace(bundle, digital=())
    counters = [CountingTwin(kind, SHAPE, seed) for seed in range(arrays_needed(bundle, SHAPE, layers, packing))]
    mapping = map_bundle(bundle, SHAPE, kind.window, len(counters), layers=layers, packing=packing)
    assert len(counters) == {"time": 3, "area": 1}[packing] + (layers == "all")
    wrapped = [ReadsCounted(each, each.cells.conductance) for each in counters]
    inputs = sequences[:2, :5]
    dense = DenseRunner(wrapped, mapping, averages=averages)
    run_network(bundle, inputs, KernelRunner(wrapped, mapping, averages=averages), dense.products)
    told = inference_counts(bundle, mapping, counters[0].info, steps=5, averages=averages)
    seen = [each.seen for each in counters]
    assert tuple(2 * count for count in told.vectors) == tuple(each[0] for each in seen)
    assert 2 * told.one_bit == sum(each[1] for each in seen)
    assert 2 * told.every_line == sum(each[2] for each in seen)
    assert 2 * told.lines >= sum(each[3] for each in seen) > 0
    for each, counter in zip(wrapped, counters, strict=True):
        counts = each.counts
        assert (counts.vectors, counts.one_bit, counts.conversions, counts.drives) == counter.seen[:4]
        assert counts.square_volts_siemens == pytest.approx(counter.seen[4], rel=1e-9)
        assert (counts.unknown, counts.crossings) == (0, counts.drives * SHAPE[1])


def test_the_figures_of_the_published_comparison() -> None:
    """The demo's kernels: counts that a prototype took in the reads themselves."""
    demo = untrained_bundle(channels=32, states=4, layers=2)
    board = DigitalTwin("supert-a0")
    mapping = map_bundle(demo, (64, 64), board.info.window, 10)
    told = inference_counts(demo, mapping, board.info, steps=16)
    assert (sum(told.products), told.one_bit) == (464, 7424)
    assert (told.conversions, told.every_line, told.scalings) == (294_912, 475_136, 9_216)
    assert told.multiply_adds.kernels == 33_792
    assert told.macs_a_converted_product == pytest.approx(33 / 18)
    assert told.macs_a_conversion == pytest.approx(33 / 18 / 16)
    assert told.latency == pytest.approx((1.0752, 7.7952))


@pytest.mark.parametrize("states", [1, 4, 50])
def test_kernels_stay_below_two_multiply_adds_a_conversion(states: int) -> None:
    net, board = untrained_bundle(channels=2, states=states, layers=1), DigitalTwin("ideal", (128, 256))
    mapping = map_bundle(net, (128, 256), board.info.window, 2)
    told = inference_counts(net, mapping, board.info, steps=3)
    assert told.macs_a_converted_product == pytest.approx((8 * states + 1) / (4 * states + 2))
    assert told.macs_a_converted_product < 2


def test_a_driver_that_reads_signs_in_passes_of_its_own() -> None:
    info = DigitalTwin(profile(CODINGS["bit-serial, both signs"])).info.model_copy(update={"input_passes": 2})

    voltages = np.zeros((3, info.rows))
    voltages[1, 0], voltages[2, 1] = 0.2, -0.2
    counts = products_counted(info, voltages, np.full(info.shape, np.nan))
    assert (counts.vectors, counts.one_bit, counts.drives) == (3, 5 + 5 + 10, 5 + 5)
    assert (counts.square_volts_siemens, counts.unknown, counts.crossings) == (0.0, 10 * info.cols, 10 * info.cols)


def test_a_step_below_half_of_the_smallest_drives_nothing() -> None:
    info = DigitalTwin(profile(CODINGS["bit-serial"])).info
    drives, squares = line_drives(info, np.array([[0.2, 0.2 * 0.49 / 255, 0.2 * 0.51 / 255, 0.1]]))
    assert drives.tolist() == [[8, 0, 1, 1]]
    np.testing.assert_allclose(squares, [[8 * 0.04, 0, 0.04, 0.04]])


def test_multiply_adds_are_those_of_the_bundle_table(bundle: KernelBundle) -> None:
    step, of = multiply_adds(bundle, 1), cost(bundle)
    assert (step.kernels, step.encoder + step.mixing + step.norms, step.head) == (
        of.kernel_macs,
        of.digital_macs,
        of.head_macs,
    )
    assert multiply_adds(bundle, 7).whole == 7 * (step.whole - step.head) + step.head
    assert MultiplyAdds(10, 60, 20, 5, 5).digital_share == pytest.approx(0.4)


def test_predicted_cost_asks_nothing_of_the_array(bundle: KernelBundle, sequences: FloatArray) -> None:
    kind = profile(CODINGS["bit-serial"])
    kind = kind.model_copy(update={"timing": kind.timing.model_copy(update={"applied": 2e-7})})
    array = CountingTwin(kind, SHAPE)
    found = predicted_cost(bundle, array, sequences[:3, :5])
    assert array.seen == CountingTwin.seen
    assert array.time == 0.0
    assert found.reads.one_bit == 3 * found.counts.one_bit
    assert 0 < found.reads.drives <= 3 * found.counts.lines
    spent = found.energy(EnergyTable.load())
    assert spent.reads.cells == pytest.approx(2e-7 * found.reads.square_volts_siemens / 3)
    counters = [CountingTwin(kind, SHAPE) for _ in range(found.mapping.arrays)]  # the same with the conductances set
    for index, counter in enumerate(counters):
        target, mask = found.mapping.target(index)
        counter.cells.conductance = np.where(mask, target, kind.window.low)
    run_network(bundle, sequences[:3, :5], KernelRunner(counters, found.mapping))
    power = sum(each.seen[4] for each in counters)
    assert found.reads.square_volts_siemens == pytest.approx(power, rel=0.02)  # the twin's converter rounds states


def test_energy_is_a_range_over_the_table() -> None:
    table = EnergyTable.load()
    counts = ReadCounts(drives=1000, cell_reads=10, square_volts_siemens=0.5)
    reads = reads_energy(counts, conversions=990, applied=1e-6, table=table)
    assert reads.cells == 0.5e-6
    assert (reads.conversions.low, reads.conversions.high) == pytest.approx((1.56e-9, 34.8e-9))
    assert (reads.line_drives.low, reads.line_drives.high) == pytest.approx((1010 * 0.39e-12,) * 2)
    parts = MultiplyAdds(encoder=100, kernels=600, mixing=200, norms=50, head=50)
    spent = network_energy(reads, parts, table)
    assert (spent.digital.low, spent.digital.high) == pytest.approx((0.23e-9, 1.55e-9))
    by_figure = [
        (of_reads + 400 * mac.joules) / (1000 * mac.joules)
        for mac in table.multiply_add
        for of_reads in (reads.whole.low, reads.whole.high)
    ]
    assert (spent.ratio.low, spent.ratio.high) == pytest.approx((min(by_figure), max(by_figure)))
    nothing_known = reads_energy(counts, conversions=990, applied=None, table=table)
    assert nothing_known.cells is None
    assert (reads + nothing_known).cells is None
    assert nothing_known.whole.low == pytest.approx(reads.whole.low - 0.5e-6)


def test_every_figure_of_the_table_says_where_it_is_from() -> None:
    table = EnergyTable.load()
    figures = [figure for kind in EnergyTable.model_fields for figure in getattr(table, kind)]
    assert len(figures) >= 7
    for figure in figures:
        assert any(word in figure.source for word in ("ISCA", "ISSCC", "github.com"))
        assert "not opened" in figure.seen  # no primary paper was


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('source = "Horowitz, ISSCC 2014"', "source"),
        ('seen = "in that list; the paper behind it was not opened"', "seen"),
        ("joules = 0.39e-12", "joules"),
    ],
)
def test_a_figure_without_its_source_is_refused(tmp_path: Path, change: str, said: str) -> None:
    own = (Path(__file__).parents[2] / "protocols/cost/energy.toml").read_text()
    assert EnergyTable.load(_written(tmp_path / "whole.toml", own)) == EnergyTable.load()
    assert change in own
    with pytest.raises(ConfigError, match=said):
        EnergyTable.load(_written(tmp_path / "less.toml", own.replace(change, "", 1)))
    with pytest.raises(ConfigError, match=said):
        EnergyTable.load(_written(tmp_path / "empty.toml", own.replace(change, f'{said} = " "', 1)))
    with pytest.raises(ConfigError, match="line_drive"):
        EnergyTable.load(_written(tmp_path / "kinds.toml", own.replace("[[line_drive]]", "[[drive]]")))
    for file, what in (("none.toml", "cannot be read"), ("broken.toml", "not TOML")):
        if file == "broken.toml":
            (tmp_path / file).write_text("= 1")
        with pytest.raises(ConfigError, match=what):
            EnergyTable.load(tmp_path / file)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_profile_and_the_table_that_the_page_shows_can_be_used(tmp_path: Path) -> None:
    shown, table = (block.text for block in blocks("docs/howto/cost.md") if block.kind == "toml")
    assert TwinProfile.load(_written(tmp_path / "timed.toml", shown)).timing.applied == 1e-6
    assert EnergyTable.load(_written(tmp_path / "mine.toml", table)).range_of("conversion").high == 9e-12
