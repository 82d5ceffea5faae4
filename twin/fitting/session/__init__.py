"""Fits of the tables that a characterisation writes, one by one and as one profile."""
