"""Training: settings, recipes, epochs, checkpoints, and the sweep over bits."""
