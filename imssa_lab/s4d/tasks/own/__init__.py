"""Sequences of your own as a task: files of several forms."""
