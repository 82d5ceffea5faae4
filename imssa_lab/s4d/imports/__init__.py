"""Models that were made elsewhere: the S4D of state-spaces from a checkpoint, or its numbers as plain arrays."""
