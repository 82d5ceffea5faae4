"""Commands about twins: fit, twin-check, serve."""
