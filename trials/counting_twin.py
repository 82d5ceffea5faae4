"""What reads take, found the long way: by a twin that looks at its own word lines, and from the records of a log."""

from __future__ import annotations

import math

import numpy as np

from imssa_lab.contract.hal import ArrayInfo, FloatArray, Readout
from imssa_lab.log.run import Run
from twin import DigitalTwin
from twin.periphery.inputs import pulse_trains


class CountingTwin(DigitalTwin):
    """A twin that counts what its word lines see, product of one bit after product of one bit.

    Attributes:
        seen: vectors, products of one bit, conversions, line drives, and the sum of V^2 G, W.
    """

    seen: tuple[int, int, int, int, float] = (0, 0, 0, 0, 0.0)

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        vectors, one_bit, conversions, drives, power = self.seen
        by_line = [sum(row) for row in self.cells.conductance.tolist()]
        for line_voltages in pulse_trains(voltages, self.profile.inputs):
            one_bit += 1
            for line, volts in enumerate(line_voltages.tolist()):
                drives += volts != 0.0
                power += volts**2 * by_line[line]
            conversions += self.info.cols
        self.seen = vectors + len(voltages), one_bit, conversions, drives, power
        return super()._read_mvm(voltages)


def power_by_records(run: Run, index: int) -> tuple[float, int, int]:
    """Of one array, record by record: sum of V^2 G in W, products of one bit, and driven cells nobody has read."""
    info = run.infos[index]
    records = []
    for table in ("read_mvm", "read_conductances", "pulses"):
        for row in range(run.records(table)):
            if int(run.column(table, "array", row)) == index:
                records.append((int(run.column(table, "seq", row)), table, row))
    known = np.full(info.shape, np.nan)
    terms: list[float] = []
    one_bit, unknown = 0, 0
    for _, table, row in sorted(records):
        if table == "pulses":
            known[run.pulses(row).mask] = np.nan
            continue
        first, count = (int(run.column(table, name, row)) for name in ("first", "count"))
        if table == "read_conductances":
            current = run.readout(table, row, info.adc is not None).current(info.adc)
            for cell in zip(*np.nonzero(run.column(table, "mask", row)), strict=True):
                conductances = [float(current[(read, *cell)]) / info.read_voltage for read in range(count)]
                terms += [info.read_voltage**2 * conductance for conductance in conductances]
                known[cell] = math.fsum(conductances) / count
            continue
        for vector in run.column(table, "voltage", slice(first, first + count)):
            for driven in _trains(info, vector):
                one_bit += 1
                for line, volts in enumerate(driven):
                    if volts:
                        unknown += int(np.isnan(known[line]).sum())
                        terms += (volts**2 * known[line][~np.isnan(known[line])]).tolist()
    return math.fsum(terms), one_bit, unknown


def _trains(info: ArrayInfo, vector: FloatArray) -> list[list[float]]:
    """V on every word line in every product of one bit."""
    full, bits = info.limits.read_voltage, info.input_bits
    if info.input_coding == "bit-serial":
        return [[full * (round(volts / full * 255) >> bit & 1) for volts in vector] for bit in range(8)]
    levels = None if bits is None else 2 ** (bits - 1) - 1
    return [[volts if levels is None else full / levels * round(volts / full * levels) for volts in vector]]
