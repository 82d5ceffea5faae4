"""Mutation testing: a seeded sample of small bugs in each part of the code, and whether its tests see them."""
