"""A recorded session repeated on twins, and the statistics that can be compared."""
