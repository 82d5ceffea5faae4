"""Measurements as tables in SI units: files that people have, and run files."""
