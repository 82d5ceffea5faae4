"""Keithley source-measure units and switch matrices, and a crossbar behind them."""
