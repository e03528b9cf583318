"""Functions of tensors and masks, each with its equation."""
