"""The page of the origin's experiment: what it is, what each chip came to, with pictures."""
