"""Fewer bits and fewer cells: quantisers, pole forms, cell errors, pruning."""
