"""Arrays and links that answer from a recorded run."""
