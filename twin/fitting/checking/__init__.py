"""A recorded session asked of twins, and what can be compared in the answers of both."""
