"""Looking after run files: verify, repair, compare, list."""
