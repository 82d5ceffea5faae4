"""A running log in a browser, or in a notebook, from a second process."""

from imssa_lab.report.live.view import LiveView

__all__ = ["LiveView"]
