"""The cost of an inference: counts of operations on the arrays, and energy from published figures."""
