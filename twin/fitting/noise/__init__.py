"""Read noise from traces: the spectrum of one cell, the population of cells, the judgement by drawing."""
