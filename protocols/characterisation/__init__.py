"""Measuring what the cells and the bit lines of an array are like."""
