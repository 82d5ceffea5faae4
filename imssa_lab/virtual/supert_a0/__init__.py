"""The virtual superT A0 by its parts: pins, DAC, chip, amplifiers, cells; what the electrodes see follows from these.

Written from the board's fact sheet, with tables of their own: a slip in those of the driver must show.
"""
