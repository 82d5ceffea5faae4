"""Resistance of word lines and bit lines."""
