"""The HDF5 file of a run: its header, chunks and checksums, and the state that it is in."""
