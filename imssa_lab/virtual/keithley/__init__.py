"""Keithley's source-measure units and switch matrices as instruments on wires, around one twin."""
