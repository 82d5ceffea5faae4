"""PyMeasure asks for serial ports where it is loaded; not every system has them."""

from __future__ import annotations

import pytest


def skip_without_serial_ports() -> None:
    """Skip the test where pyserial cannot be loaded, as on a system without serial ports."""
    pytest.importorskip(
        "serial", reason="PyMeasure asks for serial ports, and this system has none", exc_type=ImportError
    )
