"""What is around the cells: inputs, converters, columns."""
