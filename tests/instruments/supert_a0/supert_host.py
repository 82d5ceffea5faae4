"""A host of a superT A0 by its fact sheet alone: text commands, pins by letter, nothing of driver or board."""

from collections.abc import Iterable

import numpy as np

from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard

PINS = dict(
    entry.split("=")
    for entry in (
        "PWR_GOOD=A9 READ_BIT=A10 READ_DPE=A14 CONNECT_COLUMN_T=A15 DPE_INTERNAL_EN=B7 NFORCE_SAFE0=B9 "
        "WRT_INTERNAL_EN=B10 AGC_INTERNAL_EN=B11 WRITE_ADD_CAP=B15 DPE_EXT_SH=C2 UPDATE_TIA_CONF=C13 PIC_LDAC=D0 "
        "PIC_CLR=D9 DPE_EXT_OVERRIDE_EN=D10 NRESET_DPE_ENGINE=D13 AGC_PULSE=E0 WRT_PULSE=E1 NRESET_FULL_CHIP=E6 "
        "LATCH_CLK_DATA=E7 WRITE_FWD=E8 WRITE_SEL_EXT=E9 PIC_TGP=F2 CONNECT_TIA=F4 COL_ROW_SEL=F12 "
        "COL_WRITE_CONNECT=F13 ADC_FIFO_ADVANCE=G0 ADC_SEL_EXTERNAL=G7 ROW_WRITE_CONNECT=G8 DPE_PULSE=G12 "
        "ARRAY_EN0=H3 ARRAY_EN1=H6 ARRAY_EN2=H7"
    ).split()
)
PLANE_VPP, VREF_ARRAY, VREF_TIA, HI_CMP, VREF_SH, VP_PAD, TVDD, AGC0, AGC1, TEST_IN = range(10)
WORDS = ("F87E1F87E1", "F8BE2F8BE2", "D1344D1344", "C2308C2308", "C4310C4310")
OHM = (1e3, 5e3, 30e3, 200e3, 1e6)


class Host:
    """Sends commands and gives what comes back."""

    def __init__(self, board: SuperTBoard) -> None:
        self.board = board

    def say(self, text: str, payload: bytes | None = None) -> bytes:
        data = text.encode() if payload is None else text.encode() + b",\x01," + payload
        return b"".join(self.board.receive(data + b"\0"))

    def pins(self, high: bool, *names: str) -> None:
        for name in names:
            self.say(f"{211 if high else 212},{PINS[name][0]},{PINS[name][1:]}")

    def high(self, *names: str) -> None:
        self.pins(True, *names)

    def low(self, *names: str) -> None:
        self.pins(False, *names)

    def strobe(self, name: str) -> None:
        self.high(name)
        self.low(name)

    def volts(self, channel: int, voltage: float) -> None:
        code = int((voltage - 0.078 + 10) / 20 * 65535)
        word = 3 << 20 | channel << 16 | code
        self.say(f"214,{int.from_bytes(word.to_bytes(4, 'big'), 'little')}")

    def power_on(self) -> None:
        self.low("NRESET_FULL_CHIP", "NRESET_DPE_ENGINE")
        self.high("PIC_LDAC", "PIC_TGP", "PIC_CLR")
        self.say("214,50388992")
        for channel in range(16):
            self.volts(channel, 0.0)
        self.pads_default()
        self.high("PWR_GOOD")
        for channel, voltage in enumerate((0.3, 0.497, 0.497, 4.0, 2.505, 2.507, 1.0, 1.0, 3.9, 1.0)):
            self.volts(channel, voltage)
        for clock in (0, 2):
            self.say(f"220,{clock},0,2")
            self.say(f"217,{clock}")
        self.high("NRESET_FULL_CHIP")
        assert self.say("303,2,7", bytes.fromhex("10020C10200102")) == b"0"
        self.reset_engine()

    def reset_engine(self) -> None:
        self.low("NRESET_DPE_ENGINE")
        self.high("NRESET_DPE_ENGINE")

    def pads_default(self) -> None:
        self.say("203,0")
        self.say("204,0")
        self.low(*(name for name in PINS if name not in _STAY))

    def read_setup(self, voltage: float, gain: int = 4, reference: float = 0.5, gate: float = 5.0) -> None:
        self.pads_default()
        hold = (12, 12, 12, 25, 100)[gain]
        assert self.say("303,2,7", bytes((0x10, 2, 24, 0x10, hold, 1, 2))) == b"0"
        for chain in (0, 1):
            assert self.say(f"303,{chain},120", bytes.fromhex(WORDS[gain]) * 24) == b"0"
        self.strobe("UPDATE_TIA_CONF")
        self.volts(PLANE_VPP, reference - voltage)
        self.volts(VREF_TIA, reference)
        self.volts(TVDD, gate)
        self.reset_engine()

    def load(self, rows: Iterable[int], cols: Iterable[int], array: int = 0) -> None:
        self.low("ARRAY_EN0", "ARRAY_EN1", "ARRAY_EN2")
        self.high(f"ARRAY_EN{array}")
        for column, banks in ((False, _row_banks(rows)), (True, _col_banks(cols))):
            self.pins(column, "COL_ROW_SEL")
            for bank, data in enumerate(banks):
                self.say(f"203,{data}")
                self.say(f"204,{1 << bank}")
                self.strobe("LATCH_CLK_DATA")
        self.low("COL_ROW_SEL", f"ARRAY_EN{array}")

    def done(self) -> bool:
        return bool(int.from_bytes(self.say("202,G"), "little") & 2)

    def fifo(self, number: int) -> list[int]:
        self.say(f"205,{number}")
        words = []
        for place in range(16):
            words.append(int.from_bytes(self.say("207"), "little"))
            if place < 15:
                self.strobe("ADC_FIFO_ADVANCE")
        return words

    def read_single(self, row: int, col: int, auto: bool = False) -> tuple[int, int]:
        """Code and gain of a cell of array 0, read line by line."""
        self.load([row], [col])
        self.reset_engine()
        self.high("AGC_INTERNAL_EN" if auto else "DPE_INTERNAL_EN", "READ_BIT")
        self.high("NFORCE_SAFE0", "CONNECT_TIA", "CONNECT_COLUMN_T")
        self.strobe("AGC_PULSE" if auto else "DPE_PULSE")
        assert self.done()
        number, place = _fifo_of(col)
        word = self.fifo(number)[place]
        self.pads_default()
        return word & 1023, word >> 10

    def pulse_by_lines(self, row: int, col: int, forward: bool, voltage: float, gate: float, end: int) -> None:
        """A pulse of end - 1 cycles that the chip times, line by line."""
        self.pads_default()
        self.say("303,2,7", bytes((0x80, 1, 0x0C, 0x10, 0x20, 1, end)))
        self.load([row], [col])
        self.high("WRT_INTERNAL_EN")
        self.reset_engine()
        self.high("NFORCE_SAFE0")
        self.pins(forward, "WRITE_FWD")
        self.high("ROW_WRITE_CONNECT" if forward else "COL_WRITE_CONNECT", "CONNECT_COLUMN_T")
        self.volts(TVDD, gate)
        self.volts(VP_PAD, voltage)
        self.strobe("WRT_PULSE")
        self.low("CONNECT_COLUMN_T", "ROW_WRITE_CONNECT", "NFORCE_SAFE0")
        self.volts(VP_PAD, 0.0)
        self.pads_default()


_STAY = {"PWR_GOOD", "PIC_LDAC", "PIC_CLR", "PIC_TGP", "NRESET_DPE_ENGINE", "NRESET_FULL_CHIP"}


def _row_banks(rows: Iterable[int]) -> list[int]:
    banks = [0] * 4
    for row in rows:
        k = row % 16 // 2
        bit = (k if row < 32 else 7 - k) + (8 if row % 2 else 0)
        banks[(2, 0, 1, 3)[row // 16]] |= 1 << bit
    return banks


def _col_banks(cols: Iterable[int]) -> list[int]:
    banks = [0] * 4
    for col in cols:
        banks[2 * (col // 32) + col % 2] |= 1 << (15 - col // 2 if col < 32 else (col - 32) // 2)
    return banks


def _fifo_of(col: int) -> tuple[int, int]:
    """Of array 0: number and word."""
    half = col % 16 // 2
    place = 8 * (col // 16) + 7 - half if col < 32 else 8 * (3 - col // 16) + half
    return 4 + (col >= 32) + 6 * (col % 2), place


def amperes(code: int, gain: int) -> float:
    return code * 3.5 / 1023 / OHM[gain]


def whole_array(reply: bytes) -> np.ndarray:
    return np.frombuffer(reply, "<u2").reshape(64, 64)
