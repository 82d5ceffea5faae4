"""What an inference costs: counts of what is asked of arrays, and energy by figures that somebody published."""
