"""Crossbars as circuits, solved apart from the twin."""
