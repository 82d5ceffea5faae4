"""Measurements of what the project promises; each prints measured beside required."""
