"""The periphery of the cells: inputs, converters, columns."""
