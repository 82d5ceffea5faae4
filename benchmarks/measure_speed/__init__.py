"""`make measure-speed`: see `benchmarks.measure_speed.__main__`."""
