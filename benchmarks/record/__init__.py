"""The parts of `make measure-record`; `benchmarks.measure_record` runs them."""
