"""What run files must be for other programs, and what lies beside them, for tests and benchmarks."""
