"""Training of populations: fit the networks of a block side by side, search hyperparameters."""
