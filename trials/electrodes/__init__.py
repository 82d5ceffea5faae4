"""What electrodes see under faults, restarts and requests over limits, for tests and benchmarks."""
