"""A bench: arrays by address or by alias, with the limits and the calibration of each."""
