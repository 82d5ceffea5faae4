"""The parts of `make measure-deploy`; `benchmarks.measure_deploy` runs them."""
