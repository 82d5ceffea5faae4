"""What the superT A0 needs in which order: power up, power down, safe lines, configuration before reads and pulses.

Lists of commands, pure data; the board sends them. After the facts of the board's public host software,
github lican81/A0_DUT @ b10f97f.
"""

from __future__ import annotations

from drivers.supert_a0 import wire
from drivers.supert_a0.convert import DAC_OFFSET, dac_code, read_steps
from drivers.taox_cells import READ_GATE

CK_ARRAY, ADC_CK = 0, 2
SYSTEM_CLOCK = 200e6
DIVIDER = 2
CLOCK = SYSTEM_CLOCK / (2 * DIVIDER)
"""Hz; 50 MHz is what practically all work with the board used."""
ZERO_CODE = int(dac_code(0.0, DAC_OFFSET))
TIA_REFERENCE = 0.5
ADC_REFERENCE = 4.0
_REFERENCES = {
    "VREF_ARRAY": 0.497,
    "VREF_TIA": 0.497,
    "VREF_SH": 2.505,
    "PLANE_VPP": 0.3,
    "VP_PAD": 0.0,  # the host leaves 2.5 V here until the first pulse
    "TVDD": 1.0,
    "VAGC_0": 1.0,
    "VAGC_1": 3.9,
    "VREF_HI_CMP": ADC_REFERENCE,
    "ADC_EXT_TEST_IN": 1.0,
    "AMP_VREF": 2.5,
    "AMP_INPUT": 2.5,
}
_OFF_ORDER = (1, 2, 4, 0, 5, 6, 7, 8, 3, 9, 10, 11, 12, 13, 14, 15)
_LOW_WHEN_SAFE = (
    "READ_BIT",
    "READ_DPE",
    "COL_WRITE_CONNECT",
    "ROW_WRITE_CONNECT",
    "CONNECT_TIA",
    "DPE_PULSE",
    "AGC_PULSE",
    "DPE_INTERNAL_EN",
    "AGC_INTERNAL_EN",
    "DPE_EXT_OVERRIDE_EN",
    "DPE_EXT_PULSE",
    "DPE_EXT_SH",
    "WRITE_FWD",
    "WRT_INTERNAL_EN",
    "WRT_PULSE",
    "WRITE_SEL_EXT",
    "WRITE_ADD_CAP",
    "ADC_FIFO_ADVANCE",
)
_LAST_LOW = ("ADC_SEL_EXTERNAL", "SERIAL_BUS_IN", "SERIAL_CK_IN", "UPDATE_TIA_CONF", "SERIAL_CHAIN_SEL0")

Commands = list[wire.Command]
_VECTOR = [wire.ReadPort(port) for port in "FHJK"]  # COL_ROW_SEL; data and ARRAY_EN; data; bank


def high(name: str) -> wire.Command:
    """A pin high, by its name."""
    return wire.SetPin(*wire.PINS[name])


def low(name: str) -> wire.Command:
    """A pin low, by its name."""
    return wire.ClearPin(*wire.PINS[name])


def look(name: str) -> wire.Command:
    """A look at the port of a pin: that one pulse of it came can only be seen while it lasts."""
    return wire.ReadPort(wire.PINS[name][0])


def reference(name: str, voltage: float) -> wire.Command:
    """A reference to `voltage`, V, with the offset of the board's buffers taken off."""
    return wire.Dac.write(wire.CHANNELS[name], int(dac_code(voltage, DAC_OFFSET)))


def pads_default() -> Commands:
    """All lines to where nothing is driven; the columns are cut off first."""
    arrays = [low(f"ARRAY_EN{i}") for i in range(wire.ARRAYS)] + [low(f"NFORCE_SAFE{i}") for i in range(wire.ARRAYS)]
    return [
        low("CONNECT_COLUMN_T"),
        wire.LineData(0),
        low("COL_ROW_SEL"),
        wire.LineBank(0),
        low("LATCH_CLK_DATA"),
        *arrays,
        *map(low, _LOW_WHEN_SAFE),
        wire.FifoSelect(0),
        *map(low, (*_LAST_LOW, "SERIAL_CHAIN_SEL1")),
    ]


def cut_off(array: int) -> Commands:
    """The three lines that lead to an array after a read, which leaves them high; a read put all others low."""
    return [low(name) for name in ("CONNECT_COLUMN_T", "CONNECT_TIA", f"NFORCE_SAFE{array}")]


def outputs_zero() -> Commands:
    """All 16 DAC channels to 0 V."""
    return [wire.Dac.write(channel, ZERO_CODE) for channel in _OFF_ORDER]


def stop_clocks() -> Commands:
    """Both clock outputs off."""
    return [wire.ClockOff(ADC_CK), wire.ClockOff(CK_ARRAY)]


def set_clocks() -> Commands:
    """50 MHz on both clocks: they cannot be read back, so every session sets them."""
    dividers: Commands = [wire.ClockDivider(clock, 0, DIVIDER) for clock in (CK_ARRAY, ADC_CK)]
    return [*stop_clocks(), *dividers, wire.ClockOn(ADC_CK), wire.ClockOn(CK_ARRAY)]


def power_up() -> Commands:
    """From whatever state to powered, idle and safe; VP_PAD stays at 0 V."""
    return [
        *(low(name) for name in ("NRESET_FULL_CHIP", "NRESET_DPE_ENGINE")),
        high("PIC_LDAC"),
        high("PIC_TGP"),
        look("NRESET_FULL_CHIP"),
        low("PIC_CLR"),
        look("PIC_CLR"),  # and at the engine's reset
        high("PIC_CLR"),
        wire.Dac.span_of_10_volts(),
        *outputs_zero(),
        *pads_default(),
        *stop_clocks(),
        low("PWR_GOOD"),
        *pads_default(),
        look("PWR_GOOD"),
        high("PWR_GOOD"),
        *(reference(name, voltage) for name, voltage in _REFERENCES.items()),
        wire.ClockOn(ADC_CK),
        wire.ClockOn(CK_ARRAY),
        low("NRESET_FULL_CHIP"),
        look("NRESET_FULL_CHIP"),
        high("NRESET_FULL_CHIP"),
        *pads_default(),
        wire.WriteChain.of(2, wire.CONTROL_RESET),  # before the engine leaves its reset
        low("NRESET_DPE_ENGINE"),
        look("NRESET_DPE_ENGINE"),
        high("NRESET_DPE_ENGINE"),
        *set_clocks(),
    ]


def power_down() -> Commands:
    """Voltages to zero first, then lines, clocks, resets, and the chip's supply last."""
    return [
        *outputs_zero(),
        *pads_default(),
        *stop_clocks(),
        low("NRESET_DPE_ENGINE"),
        low("NRESET_FULL_CHIP"),
        low("PWR_GOOD"),
    ]


def safe() -> Commands:
    """Outputs to 0 V, then the arrays cut off and forced safe."""
    return [reference("VP_PAD", 0.0), reference("TVDD", 0.0), reference("PLANE_VPP", TIA_REFERENCE), *pads_default()]


def before_reading(voltage: float, shift: float = 0.0) -> Commands:
    """Autogain reads at `voltage`, V, or the step below; the top reference of the ADC is moved by `shift`, V."""
    autogain = wire.TIA_GROUPS[4] * 24
    row_plane = int(dac_code(TIA_REFERENCE, DAC_OFFSET)) - read_steps(voltage)
    return [
        *pads_default(),
        wire.WriteChain.of(2, bytes((0x10, 2, 24, 0x10, 100, 1, 2))),
        wire.WriteChain.of(0, autogain),
        wire.WriteChain.of(1, autogain),
        high("UPDATE_TIA_CONF"),
        look("UPDATE_TIA_CONF"),
        low("UPDATE_TIA_CONF"),
        wire.Dac.write(wire.CHANNELS["PLANE_VPP"], row_plane),
        reference("VREF_TIA", TIA_REFERENCE),
        reference("VREF_HI_CMP", ADC_REFERENCE + shift),
        reference("TVDD", READ_GATE),
        *pads_default(),
        low("NRESET_DPE_ENGINE"),
        look("NRESET_DPE_ENGINE"),
        high("NRESET_DPE_ENGINE"),
    ]


def enable_columns(array: int, cols: int) -> Commands:
    """The first `cols` columns of an array into its column register, for products.

    The register cannot be read: what it is loaded from, and by, is looked at before and while it is latched.
    """
    load: Commands = []
    for bank, data in enumerate(wire.column_banks(list(range(cols)))):
        latch = [look("LATCH_CLK_DATA"), high("LATCH_CLK_DATA"), look("LATCH_CLK_DATA"), low("LATCH_CLK_DATA")]
        load += [wire.LineData(data), wire.LineBank(1 << bank), *_VECTOR, *latch]
    return [
        high(f"ARRAY_EN{array}"),
        high("COL_ROW_SEL"),
        *load,
        low("COL_ROW_SEL"),
        low(f"ARRAY_EN{array}"),
    ]


def before_pulsing(pulse_end: int | None) -> Commands:
    """VP_PAD at 0 V and, for pulses that the chip times, when they end (clock cycles + 1)."""
    chain: Commands = []
    if pulse_end is not None:
        chain = [wire.WriteChain.of(2, bytes((0x80, 1, 0x0C, 0x10, 0x20, 1, pulse_end)))]
    return [*chain, *pads_default(), reference("VP_PAD", 0.0)]


def after_pulsing() -> Commands:
    """VP_PAD and gate back to 0 V, and the line that a RESET leaves connected cut off."""
    return [reference("VP_PAD", 0.0), reference("TVDD", 0.0), low("COL_WRITE_CONNECT")]
