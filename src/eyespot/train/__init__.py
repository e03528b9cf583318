"""Running things: timing, checkpoints, the training loop."""
