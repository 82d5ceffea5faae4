"""From tables of measurements to the sections of a twin profile, with proof of how well they fit."""
