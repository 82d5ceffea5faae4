"""The questions of `imssa station init` about one array, and the table of a station file that the answers make."""

from __future__ import annotations

import re
from collections.abc import Collection

import typer

from imssa_lab.cli.shared.session import console
from imssa_lab.contract.errors import ImssaError

_ALIAS = re.compile(r"[A-Za-z0-9_-]+")
_COMMENTS = (
    '# programmer = "gate-start"  # instead of the chip\'s own',
    "# recipe = { tolerance_out = 8e-6 }  # changes to the chip's, in S, V and s",
)
_LIMITS = "# limits = { read_voltage = 0.15, set = { voltage_max = 3.0 } }  # V and s, below the array's own"


def ask_array(taken: Collection[str]) -> tuple[str, str]:
    """Alias and TOML table of an array, by questions; what cannot be is asked again, with the reason.

    Args:
        taken: aliases that the file has already.
    """
    alias = _alias(taken)
    address = _address()
    if address.startswith("replay:"):  # a recording brings chip, calibration and limits with it
        return alias, f"[arrays.{alias}]\naddress = {toml_string(address)}\n"
    chip = typer.prompt("Serial number that the chip must report, Enter for any", default="", show_default=False)
    calibration = typer.prompt("File for its column calibration", default=f"{alias}.json")
    volts = _volts()
    lines = [f"[arrays.{alias}]", f"address = {toml_string(address)}"]
    lines += [f"chip = {toml_string(chip)}"] if chip else ['# chip = "A17"  # the serial number that it must report']
    lines += [f"calibration = {toml_string(calibration)}  # imssa calibrate --array {alias}"]
    lines += [_LIMITS] if volts is None else [f"limits = {{ read_voltage = {volts:g} }}"]
    return alias, "\n".join([*lines, *_COMMENTS]) + "\n"


def _alias(taken: Collection[str]) -> str:
    while True:
        alias: str = typer.prompt("Alias of the array", default=f"chip{len(taken)}").strip()
        if alias in taken:
            _no(f"{alias} is in the file already")
        elif _ALIAS.fullmatch(alias):
            return alias
        else:
            _no("an alias has letters, digits, - and _")


def _address() -> str:
    from imssa_lab.station.addresses import drivers, split_address

    known = ", ".join(f"{name}:" for name in sorted(drivers()))
    console(stderr=True).print(f"Addresses begin with {known}; serial ports here: {_ports()}", markup=False)
    while True:
        address: str = typer.prompt("Its address", default="twin:supert-a0?seed=1").strip()
        try:
            split_address(address)
        except ImssaError as error:
            _no(str(error))
        else:
            return address


def _volts() -> float | None:
    while True:
        text: str = typer.prompt(
            "Highest voltage while reading, V, Enter for the array's own", default="", show_default=False
        )
        if not text.strip():
            return None
        try:
            volts = float(text)
        except ValueError:
            volts = 0.0
        if 0 < volts < 100:
            return volts
        _no("write volts as a number, 200 mV is 0.2")


def _ports() -> str:
    try:
        from serial.tools.list_ports import comports
    except ImportError:  # pyserial needs what this system has not
        return "none"
    return ", ".join(sorted(found.device for found in comports())) or "none"


def _no(why: str) -> None:
    console(stderr=True).print(f"  no: {why}", markup=False)


def toml_string(text: str) -> str:
    """A TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
