"""The parts of `make measure-twin`; `benchmarks.measure_twin` runs them."""
