"""From tables of measurements to the sections of a twin profile, with tests of the fit."""
