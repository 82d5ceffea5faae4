"""Arrays around an array: each counts, limits, reports or replaces one thing."""
