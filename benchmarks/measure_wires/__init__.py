"""Measures the bars of instruments on wires."""
