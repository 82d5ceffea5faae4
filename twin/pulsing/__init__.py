"""Pulses on an array of cells: what reaches them through the lines, and what else they do."""
