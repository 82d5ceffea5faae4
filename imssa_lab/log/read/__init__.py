"""Reading a run, during the recording or afterwards."""
