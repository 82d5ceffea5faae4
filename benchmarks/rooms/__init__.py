"""The parts of `make measure-rooms`; `benchmarks.measure_rooms` runs them."""
