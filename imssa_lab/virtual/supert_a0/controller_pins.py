"""The pins of the superT A0's controller: latches, directions, and what each is connected to.

Port letters A to H, J, K; after the firmware's own table, github lican81/A0_DUT @ b10f97f.
"""

from __future__ import annotations

from collections.abc import Callable

_TABLE = {
    "A": "9 PWR_GOOD, 10 READ_BIT, 14 READ_DPE, 15 CONNECT_COLUMN_T",
    "B": "7 DPE_INTERNAL_EN, 9 NFORCE_SAFE0, 10 WRT_INTERNAL_EN, 11 AGC_INTERNAL_EN, 15 WRITE_ADD_CAP",
    "C": "1 DPE_EXT_PULSE, 2 DPE_EXT_SH, 3 SERIAL_CHAIN_SEL0, 4 SERIAL_CHAIN_SEL1, 13 UPDATE_TIA_CONF, "
    "14 PICI2C_RESET",
    "D": "0 PIC_LDAC, 1 SERIAL_CK_IN, 3 SERIAL_BUS_IN, 4 PIC_SDI, 9 PIC_CLR, 10 DPE_EXT_OVERRIDE_EN, "
    "12 PICI2C_SCL, 13 NRESET_DPE_ENGINE, 14 PIC_CS, 15 PIC_SCK",
    "E": "0 AGC_PULSE, 1 WRT_PULSE, 2 NFORCE_SAFE2, 3 ADC_CK, 6 NRESET_FULL_CHIP, 7 LATCH_CLK_DATA, 8 WRITE_FWD, "
    "9 WRITE_SEL_EXT",
    "F": "0 CK_ARRAY, 1 AMP_EN, 2 PIC_TGP, 4 CONNECT_TIA, 5 PICI2C_SDA, 8 PIC_SHORT_VREF_HI_CMP, 12 COL_ROW_SEL, "
    "13 COL_WRITE_CONNECT",
    "G": "0 ADC_FIFO_ADVANCE, 7 ADC_SEL_EXTERNAL, 8 ROW_WRITE_CONNECT, 9 PIC_SHORT_VREF_ARRAY, 12 DPE_PULSE, "
    "13 NFORCE_SAFE1",
    "H": "3 ARRAY_EN0, 6 ARRAY_EN1, 7 ARRAY_EN2",
    "J": "",
    "K": "",
}
_INPUTS = {"B": (0, 1, 2, 3, 4, 6, 8), "D": (2, 5), "E": (4, 5)}
_ADC_DONE = ("G", 1)
_DATA = tuple(
    (port, pin)
    for port, pins in (("H", (9, 10, 11, 12, 15)), ("J", (0, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15)))
    for pin in pins
)
_ADC_OUT = (*(("A", pin) for pin in range(8)), ("G", 14), ("G", 15), ("H", 0), ("H", 1), ("H", 2))
_AFTER_RESET = 0x00FF  # of port H: all three ARRAY_EN are high

PLACES = {
    entry.split()[1]: (port, int(entry.split()[0]))
    for port, entries in _TABLE.items()
    for entry in entries.split(", ")
    if entry
}
"""Port and number of every control line."""
_NAMES = {place: name for name, place in PLACES.items()}


class Pins:
    """The latches and directions; what changes a line tells `changed`.

    Args:
        changed: called with the name of a control line and its new level, after each change.
        adc_done: the level of that input; adc_out: the 13 bits at the converters' outputs.
    """

    def __init__(
        self, changed: Callable[[str, bool], None], adc_done: Callable[[], bool], adc_out: Callable[[], int]
    ) -> None:
        self._changed, self._adc_done, self._adc_out = changed, adc_done, adc_out
        self._latch = dict.fromkeys(_TABLE, 0) | {"H": _AFTER_RESET}
        sensed = [_ADC_DONE, *_ADC_OUT, *((port, pin) for port, pins in _INPUTS.items() for pin in pins)]
        self._driven = dict.fromkeys(_TABLE, 0xFFFF)
        for port, pin in sensed:
            self._driven[port] &= ~(1 << pin)
        self._inputs = {port: 0xFFFF & ~driven for port, driven in self._driven.items()}

    def level(self, name: str) -> bool:
        """Of a control line; one that nothing drives is low."""
        port, pin = PLACES[name]
        return bool((self._latch[port] & self._driven[port]) >> pin & 1)

    def drive(self, name: str, high: bool) -> None:
        """A control line from inside the firmware."""
        port, pin = PLACES[name]
        self.write_pin(port, pin, high)

    def write_pin(self, port: str, pin: int, high: bool) -> None:
        """One pin of a port; IndexError where there is none."""
        if not 0 <= pin < 16:
            raise IndexError(pin)
        before = self._latch[port]
        self.write(port, before | 1 << pin if high else before & ~(1 << pin))

    def toggle(self, port: str, pin: int) -> None:
        """One pin of a port to its other level."""
        self.write_pin(port, pin, not self._latch[port] >> pin & 1)

    def write(self, port: str, value: int) -> None:
        """All 16 latches of a port at once."""
        self._update(port, value & 0xFFFF, self._driven[port])

    def direct(self, port: str, pin: int, output: bool) -> None:
        """Drive a pin, or let go of it."""
        if not 0 <= pin < 16:
            raise IndexError(pin)
        driven = self._driven[port] | 1 << pin if output else self._driven[port] & ~(1 << pin)
        self._update(port, self._latch[port], driven & ~self._inputs[port])

    def _update(self, port: str, latch: int, driven: int) -> None:
        moved = (self._latch[port] & self._driven[port]) ^ (latch & driven)
        self._latch[port], self._driven[port] = latch, driven
        while moved:
            pin = (moved & -moved).bit_length() - 1
            moved &= moved - 1
            name = _NAMES.get((port, pin))
            if name is not None:
                self._changed(name, bool((latch & driven) >> pin & 1))

    def read(self, port: str) -> int:
        """Levels of a port's 16 pins, those of its inputs among them."""
        levels = self._latch[port] & self._driven[port]
        if (port, 1) == _ADC_DONE:
            levels |= self._adc_done() << 1
        out = self._adc_out()
        for bit, (at, pin) in enumerate(_ADC_OUT):
            if at == port:
                levels |= (out >> bit & 1) << pin
        return levels

    @property
    def data(self) -> int:
        """The 16 lines of row and column vectors."""
        return sum((self._latch[port] >> pin & 1) << bit for bit, (port, pin) in enumerate(_DATA))

    @data.setter
    def data(self, value: int) -> None:
        for port in ("H", "J"):
            latch = self._latch[port]
            for bit, (at, pin) in enumerate(_DATA):
                if at == port:
                    latch = latch & ~(1 << pin) | (value >> bit & 1) << pin
            self.write(port, latch)

    @property
    def bank(self) -> int:
        """Which banks take the data, one bit each."""
        return self._latch["K"] & 0xF

    @property
    def fifo(self) -> int:
        """Which FIFO is addressed."""
        return self._latch["K"] >> 4 & 0xF
