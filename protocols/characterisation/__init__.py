"""Measuring the properties of the cells and the bit lines of an array."""
