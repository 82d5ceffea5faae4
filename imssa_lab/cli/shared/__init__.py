"""What several commands share: the terminal, JSON output, options, run folders."""
