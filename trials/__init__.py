"""Experiments on the software: the tests run them briefly, the benchmarks at length; see docs/decisions/0006."""
