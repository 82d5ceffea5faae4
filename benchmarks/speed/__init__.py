"""The parts of `make measure-speed`; `benchmarks.measure_speed` runs them."""
