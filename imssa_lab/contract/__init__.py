"""What every array promises: the calls, the values that pass through them, and the errors."""
