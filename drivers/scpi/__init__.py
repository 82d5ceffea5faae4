"""Array testers that speak SCPI over any VISA resource; docs/scpi.md is the interface."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.scpi.scpi_array import ScpiArray, ScpiWire
from drivers.visa_stream import open_visa
from imssa_lab.contract.errors import ConfigError

__all__ = ["ScpiArray", "ScpiWire", "open_scpi"]

_OPTIONS = {"timeout", "backend"}


def open_scpi(resource: str, options: Mapping[str, str]) -> ScpiArray:
    """The driver behind ``visa+scpi:RESOURCE?timeout=5&backend=@py``.

    Examples: ``visa+scpi:TCPIP::192.168.0.7::5025::SOCKET``, ``visa+scpi:USB0::0x1234::0x5678::A1::INSTR``,
    ``visa+scpi:GPIB0::12::INSTR?backend=@ivi``.

    Raises:
        ConfigError: an unknown option, a value that cannot be read, or no VISA resource.
        LinkError: no answer, or another instrument.
    """
    unknown = set(options) - _OPTIONS
    if unknown:
        raise ConfigError(
            f"visa+scpi:{resource}: unknown option {sorted(unknown)[0]!r}; it takes timeout and backend"
        )
    try:
        timeout = float(options.get("timeout", "5"))
    except ValueError as error:
        raise ConfigError(f"visa+scpi:{resource}: timeout: {error}; write for example ?timeout=5") from error
    if not 0 < timeout < 3600:
        raise ConfigError(f"visa+scpi:{resource}: timeout {timeout:g} s asked, above 0 and below 3600 s are allowed")
    return ScpiArray(ScpiWire(open_visa(resource, timeout, options.get("backend", "@py")), timeout))
