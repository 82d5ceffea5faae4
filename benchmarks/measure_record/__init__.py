"""Every bar of the record that a machine can measure: ``python -m benchmarks.measure_record``."""
