"""Compiled and batched ways of computing what the physics modules define, with the same bits."""
