"""What the temperature of a chip does to its cells."""
