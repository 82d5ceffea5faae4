"""Commands that set up a bench: station, new-driver."""
