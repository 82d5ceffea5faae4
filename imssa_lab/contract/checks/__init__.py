"""Checks of what comes into the contract: arguments, containers, answers of an array, values that stay frozen."""
