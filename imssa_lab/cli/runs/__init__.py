"""Commands about recorded runs: log, report, monitor."""
