"""Writing a run: every call is in the file before it returns."""
