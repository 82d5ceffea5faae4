"""An array as an instrument of the frameworks that labs measure with, each in a file that needs its framework."""
