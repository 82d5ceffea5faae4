"""What mending does to a mapping: kernels around faults, and what is taken back because it does not help."""
