"""The live page: a running log in a browser, from a second process."""

from imssa_lab.report.live.app import make_app
from imssa_lab.report.live.view import LiveView

__all__ = ["LiveView", "make_app"]
