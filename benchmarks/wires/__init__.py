"""The parts of `make measure-wires`; `benchmarks.measure_wires` runs them."""
