"""`open_replay`: from the address ``replay:FILE`` to an array that answers from that run."""

from __future__ import annotations

from collections.abc import Mapping

from imssa_lab.contract.errors import ConfigError, ImssaError
from imssa_lab.log.replay.replayed import Replayed
from imssa_lab.log.run import open_run


def open_replay(address: str, options: Mapping[str, str]) -> Replayed:
    """The driver behind ``replay:FILE?array=N&tolerant=yes``.

    Raises:
        ConfigError: an unknown option or array; LogError: not a run file.
    """
    unknown = set(options) - {"array", "tolerant"}
    if unknown:
        raise ConfigError(f"replay:{address}: unknown option {sorted(unknown)[0]!r}; a replay takes array, tolerant")
    if options.get("tolerant", "no") not in ("yes", "no"):
        raise ConfigError(f"replay:{address}: tolerant={options['tolerant']!r}, must be yes or no")
    number = options.get("array", "0")
    if not (number.isascii() and number.isdigit()):
        raise ConfigError(f"replay:{address}: array={number!r} is not a number; write for example ?array=0")
    run = open_run(address)
    try:
        return Replayed(run, int(number), owns_run=True, tolerant=options.get("tolerant") == "yes")
    except ImssaError:
        run.close()
        raise
