"""Reading pins back: the superT A0 has no checksums, but a pin that was set can be asked whether it is."""

from __future__ import annotations

from drivers.supert_a0 import wire
from imssa_lab.contract.errors import LinkCorrupt

_NAMES = {place: name for name, place in wire.PINS.items()}
_MOVED_BY_READS_AND_PULSES = frozenset(
    wire.PINS[name]
    for name in (
        "READ_BIT",
        "READ_DPE",
        "CONNECT_COLUMN_T",
        "CONNECT_TIA",
        "ROW_WRITE_CONNECT",
        "COL_WRITE_CONNECT",
        "NFORCE_SAFE0",
        "NFORCE_SAFE1",
        "NFORCE_SAFE2",
        "ARRAY_EN0",
        "ARRAY_EN1",
        "ARRAY_EN2",
        "COL_ROW_SEL",
        "LATCH_CLK_DATA",
        "DPE_INTERNAL_EN",
        "AGC_INTERNAL_EN",
        "WRT_INTERNAL_EN",
        "WRITE_ADD_CAP",
        "WRITE_SEL_EXT",
        "WRITE_FWD",
        "ADC_FIFO_ADVANCE",
    )
)
_FIRST_ARRAY_COMMAND = 400
_QUESTIONS = {port: wire.ReadPort(port) for port in "ABCDEFGHJK"}
_LEFT_ALONE = dict.fromkeys(_QUESTIONS, 0xFFFF) | {"K": 0xFF00}
for _port, _pin in (*_MOVED_BY_READS_AND_PULSES, *wire.DATA_PINS):
    _LEFT_ALONE[_port] &= ~(1 << _pin)


class PinCheck:
    """Where the pins must be after the commands so far, as far as these say."""

    def __init__(self) -> None:
        self._high = dict.fromkeys(_QUESTIONS, 0)
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more."""
        self._known = dict.fromkeys(_QUESTIONS, 0)

    def note(self, command: wire.Command) -> None:
        """A command that was sent."""
        if command.number > _FIRST_ARRAY_COMMAND:
            for port, left in _LEFT_ALONE.items():
                self._known[port] &= left
        elif isinstance(command, wire.SetPin | wire.ClearPin):
            high = isinstance(command, wire.SetPin)
            self._set(command.port, 1 << command.pin, high << command.pin)
        elif isinstance(command, wire.LineData):
            for bit, (port, pin) in enumerate(wire.DATA_PINS):
                self._set(port, 1 << pin, (command.value >> bit & 1) << pin)
        elif isinstance(command, wire.LineBank):
            self._set("K", 0xFF, command.value)  # the bank and the FIFO lines overwrite each other
        elif isinstance(command, wire.FifoSelect):
            self._set("K", 0xFF, command.value << 4)

    def _set(self, port: str, pins: int, high: int) -> None:
        self._known[port] |= pins
        self._high[port] = self._high[port] & ~pins | high

    @property
    def questions(self) -> list[wire.ReadPort]:
        """What must be asked to compare all of them."""
        return [question for port, question in _QUESTIONS.items() if self._known[port]]

    def compare(self, port: str, reply: bytes) -> None:
        """LinkCorrupt where the reply to a question shows a pin elsewhere."""
        levels = int.from_bytes(reply, "little")
        if levels >= 1 << 16:
            raise LinkCorrupt(f"superT A0: port {port} was answered {reply.hex(' ')}, out of step; ask again")
        wrong = (levels ^ self._high[port]) & self._known[port]
        if wrong:
            pin = wrong.bit_length() - 1
            name, set_to = _NAMES.get((port, pin), f"pin {port}{pin}"), "low" if levels >> pin & 1 else "high"
            raise LinkCorrupt(
                f"superT A0: {name} was set {set_to} and is not; a command was damaged on its way, ask again: "
                "everything is set again first"
            )
